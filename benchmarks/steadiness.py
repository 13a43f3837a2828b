"""Change of the face area from frame to frame, in gray levels: networks against bicubic interpolation.

    python -m facesr_edge.benchmarks.steadiness [--model NAME ...] [--video CLIP ...] [--picture FILE ...]

A still face is recorded with camera noise behind H.264; of a clip, every face that is found in consecutive frames is
measured. What a network adds to a still face should change no more than what the camera delivers: the ratio to
bicubic is 1 for a network that follows the camera, and below 1 for one that holds a still face still.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise, product
from pathlib import Path
from typing import Any, Protocol

import av
import cv2
import facesr_edge
import numpy as np
from facesr_edge.calibration.data.faces import astronaut
from facesr_edge.engines.errors import FacesrError
from facesr_edge.sdk.media.images.image_file import read_image
from facesr_edge.sdk.media.sources import open_source
from facesr_edge.sdk.pipeline.frame import Frame
from facesr_edge.sdk.pipeline.paste import enlarge
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

CRFS = (23, 28)
NOISES = (6.0, 12.0)
"""Standard deviations of the camera's noise, gray levels: indoors and in dim light. Less is removed by the encoder."""
FRAMES, RATE = 50, 25
FACES_PX = (20, 32, 48)
"""Sides of the face of the sample picture in the frame."""
SAMPLE_FACE_PX = 105
"""Side of the face in the sample picture."""
MATCH_IOU = 0.5
"""Boxes of consecutive frames with a larger intersection over union are of one face."""
LIVE_BUDGET_MS = 1000
"""No face is left to cheaper treatments for want of time."""
CONTEXT = 3
"""Pixels around an area that bicubic interpolation needs."""


class UpscaledFace(Protocol):
    """What is measured of a face: `Face`, or one of the live runtime, whose pixels are None if it is skipped."""

    @property
    def box_xyxy(self) -> NDArray[np.float32]:
        """(4,) frame pixels."""

    @property
    def window_xyxy(self) -> tuple[int, int, int, int]:
        """Of the crop, frame pixels."""

    @property
    def pixels(self) -> Pixels | None:
        """(k·S, k·S, 3) uint8 BGR."""


Upscale = Callable[[Frame], Sequence[UpscaledFace]]
"""Upscales the faces of the next frame of one clip."""


@dataclass(frozen=True)
class Steadiness:
    """Changes between consecutive frames, one for each face in both.

    Args:
        bicubic: (N,) mean absolute change of the face area, enlarged by bicubic interpolation, gray levels.
        upscaled: (N,) the same of the upscaled face.
    """

    bicubic: NDArray[np.float64]
    upscaled: NDArray[np.float64]

    @property
    def ratio(self) -> float:
        """Change of the upscaled faces relative to bicubic; nan if nothing changes, inf if only the faces do."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(np.divide(self.upscaled.sum(), self.bicubic.sum()))

    @property
    def stillest(self) -> Steadiness:
        """The quarter of the pairs with the smallest change of bicubic."""
        chosen = np.argsort(self.bicubic, kind="stable")[: -(-len(self.bicubic) // 4)]
        return Steadiness(self.bicubic[chosen], self.upscaled[chosen])

    def __str__(self) -> str:
        if not len(self.bicubic):
            return "no face in consecutive frames"
        quarter = self.stillest
        return (
            f"{len(self.bicubic):6} {self.bicubic.mean():8.3f} {self.upscaled.mean():8.3f} {self.ratio:6.2f}   "
            f"{quarter.bicubic.mean():8.3f} {quarter.upscaled.mean():8.3f} {quarter.ratio:6.2f}"
        )


def measure(frames: Iterable[Frame], upscale: Upscale) -> Steadiness:
    """Measure a function on the frames of one clip, in order.

    Args:
        frames: of the clip.
        upscale: called once with each frame; a face without pixels is left out.
    """
    changes = []
    results = ((frame, [face for face in upscale(frame) if face.pixels is not None]) for frame in frames)
    for (before, faces_before), (after, faces_after) in pairwise(results):
        for old, new in _pairs(faces_before, faces_after):
            area = _common_area(old, new, after)
            scale = _scale(new)
            if area is None or _scale(old) != scale:
                continue
            bicubic = _change(_bicubic_area(before, area, scale), _bicubic_area(after, area, scale))
            changes.append((bicubic, _change(_face_area(old, area), _face_area(new, area))))
    table = np.array(changes, np.float64).reshape(-1, 2)
    return Steadiness(table[:, 0], table[:, 1])


def _pairs(before: Sequence[UpscaledFace], after: Sequence[UpscaledFace]) -> Iterator[tuple[Any, Any]]:
    """Faces of consecutive frames that are one, each at most once."""
    left = list(before)
    for face in after:
        best = max(left, key=lambda one: _iou(one.box_xyxy, face.box_xyxy), default=None)
        if best is not None and _iou(best.box_xyxy, face.box_xyxy) > MATCH_IOU:
            left.remove(best)
            yield best, face


def _iou(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    shared = float(np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None).prod())
    return shared / (float((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod()) - shared + 1e-9)


def _scale(face: UpscaledFace) -> int:
    pixels = face.pixels
    return 0 if pixels is None else pixels.shape[1] // (face.window_xyxy[2] - face.window_xyxy[0])


def _common_area(old: UpscaledFace, new: UpscaledFace, frame: Frame) -> tuple[int, int, int, int] | None:
    """Whole pixels of the frame that lie in both boxes and both windows; None if there are none."""
    height, width = frame.pixels.shape[:2]
    low = np.max([np.ceil(one.box_xyxy[:2]) for one in (old, new)] + [one.window_xyxy[:2] for one in (old, new)], 0)
    high = np.min([np.floor(one.box_xyxy[2:]) for one in (old, new)] + [one.window_xyxy[2:] for one in (old, new)], 0)
    x0, y0 = (max(0, int(value)) for value in low)
    x1, y1 = min(width, int(high[0])), min(height, int(high[1]))
    return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def _face_area(face: UpscaledFace, area: tuple[int, int, int, int]) -> Pixels:
    pixels, scale = face.pixels, _scale(face)
    assert pixels is not None
    (x, y), (x0, y0, x1, y1) = face.window_xyxy[:2], area
    return pixels[scale * (y0 - y) : scale * (y1 - y), scale * (x0 - x) : scale * (x1 - x)]


def _bicubic_area(frame: Frame, area: tuple[int, int, int, int], scale: int) -> Pixels:
    x0, y0, x1, y1 = area
    left, top = min(CONTEXT, x0), min(CONTEXT, y0)
    enlarged = enlarge(frame.pixels[y0 - top : y1 + CONTEXT, x0 - left : x1 + CONTEXT], scale)
    return enlarged[scale * top : scale * (top + y1 - y0), scale * left : scale * (left + x1 - x0)]


def _change(before: Pixels, after: Pixels) -> float:
    return float(cv2.absdiff(before, after).mean())


def still_clip(picture: Pixels, crf: int, noise: float, frames: int = 0) -> list[Frame]:
    """Record a still picture with camera noise, encode it as H.264 and decode it.

    Args:
        picture: (H, W, 3) uint8 BGR, H and W even.
        crf: quality of the encoder.
        noise: standard deviation in gray levels.
        frames: number of frames; 0 for `FRAMES`.
    """
    rng, file = np.random.default_rng(0), io.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        stream = container.add_stream("libx264", RATE, {"crf": str(crf), "preset": "veryfast", "tune": "zerolatency"})
        stream.height, stream.width, stream.pix_fmt = *picture.shape[:2], "yuv420p"
        for _ in range(frames or FRAMES):
            noisy = np.clip(np.rint(picture + rng.normal(0, noise, picture.shape)), 0, 255).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(noisy, "bgr24")))
        container.mux(stream.encode(None))
    file.seek(0)
    with av.open(file) as container:
        decoded = (frame.to_ndarray(format="bgr24") for frame in container.decode(video=0))
        return [Frame(pixels, n, float(Fraction(n, RATE))) for n, pixels in enumerate(decoded)]


def sample_pictures() -> Iterator[tuple[str, Pixels]]:
    """The sample picture with its face at several sizes."""
    for side in FACES_PX:
        factor = side / SAMPLE_FACE_PX
        small = cv2.resize(astronaut(), None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        yield f"still face of {side} px", _even(np.asarray(small, np.uint8))


def _even(picture: Pixels) -> Pixels:
    return np.ascontiguousarray(picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2])


def clips(args: argparse.Namespace) -> Iterator[tuple[str, list[Frame]]]:
    """Name and frames of every clip to measure."""
    pictures = ((path.name, _even(read_image(path))) for path in args.picture) if args.picture else sample_pictures()
    for name, picture in pictures:
        for noise, crf in product(args.noise, args.crf):
            yield f"{name}, noise {noise:g}, crf {crf}", still_clip(picture, crf, noise)
    for path in args.video:
        with open_source(path) as source:
            yield path.name, list(source)


def frame_by_frame(model: str, frames: Sequence[Frame]) -> Steadiness:
    """The pipeline, which knows nothing of other frames."""
    with facesr_edge.load(model, composite=False) as pipeline:
        return measure(frames, lambda frame: pipeline(frame).faces)


def live(model: str, frames: Sequence[Frame]) -> Steadiness:
    """The live runtime, which moves the output of a still face along with it."""
    with facesr_edge.live({"clip": iter(frames)}, budget_ms=LIVE_BUDGET_MS, model=model) as results:
        faces = {result.source.index: result.faces for result in results}
    return measure(frames, lambda frame: faces.get(frame.index, ()))


RUNTIMES = {"frame by frame": frame_by_frame, "live": live}


def main() -> None:
    """Print a table of all clips and models."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", nargs="+", default=[facesr_edge.DEFAULT_MODEL], help="zoo names or bundle folders")
    parser.add_argument("--video", nargs="*", type=Path, default=[], help="clips with faces")
    parser.add_argument("--picture", nargs="*", type=Path, default=[], help="pictures instead of the sample picture")
    parser.add_argument("--crf", nargs="+", type=int, default=list(CRFS), help="quality of the still clips")
    parser.add_argument("--noise", nargs="+", type=float, default=list(NOISES), help="noise of the still clips")
    args = parser.parse_args()
    print(f"{'':82} {'change between frames, all':^31}   {'stillest quarter':^24}")
    head = f"{'bicubic':>8} {'network':>8} {'ratio':>6}"
    print(f"{'clip':38} {'model':22} {'runtime':14} {'pairs':>6} {head}   {head}")
    try:
        for name, frames in clips(args):
            for model, (runtime, run) in product(args.model, RUNTIMES.items()):
                print(f"{name:38} {model:22} {runtime:14} {run(model, frames)}", flush=True)
    except FacesrError as error:
        sys.exit(f"steadiness: {error}")


if __name__ == "__main__":
    main()
