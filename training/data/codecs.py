"""What compression leaves of small pictures: JPEG, and H.264 with frames that are predicted from those before."""

from __future__ import annotations

from fractions import Fraction

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from ...calibration.metrics.image import LUMA

Pictures = NDArray[np.uint8]
BLOCK = 16
"""Side of the largest blocks, in pixels. A crop lies on a codec's blocks anyhow, so its place on them is drawn."""
_TO_YUV = np.array((LUMA, (112.0, -74.203, -37.797), (-18.214, -93.786, 112.0))) / 255
"""BGR to Y, Cb, Cr of BT.601 in limited range, less the offsets."""
_OFFSET = np.array((16.0, 128.0, 128.0))


def jpeg(picture: Pictures, quality: int, rng: np.random.Generator) -> Pictures:
    """(H, W, 3) BGR -> the same through JPEG with halved chroma, at a quality of 1 to 100."""
    height, width = picture.shape[:2]
    y, x = rng.integers(BLOCK, size=2)
    framed = np.pad(picture, ((y, -(y + height) % BLOCK), (x, -(x + width) % BLOCK), (0, 0)), mode="edge")
    halved = (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420)
    coded = cv2.imencode(".jpg", framed, (cv2.IMWRITE_JPEG_QUALITY, quality, *halved))[1]
    decoded = cv2.imdecode(coded, cv2.IMREAD_COLOR)
    return np.asarray(decoded, np.uint8)[y : y + height, x : x + width]


def h264(films: Pictures, crf: int, rng: np.random.Generator) -> Pictures:
    """The last frames of short films through H.264, all side by side in one.

    Args:
        films: (T, N, H, W, 3) BGR; the first frame is coded whole, the others by what they differ from the one before.
        crf: x264's rate factor: 18 looks as it was, 40 is very bad.
        rng: where each film lies on the blocks is drawn from it.

    Returns:
        (N, H, W, 3).
    """
    time, n, height, width, _ = films.shape
    cell_h, cell_w = (-(-(side + BLOCK - 1) // BLOCK) * BLOCK for side in (height, width))
    columns = int(np.ceil(np.sqrt(n)))
    sheet = np.full((time, -(-n // columns) * cell_h, columns * cell_w, 3), 128, np.uint8)
    places = []
    for i in range(n):
        top, left = i // columns * cell_h, i % columns * cell_w
        y, x = rng.integers(BLOCK, size=2)
        border = ((0, 0), (y, cell_h - height - y), (x, cell_w - width - x), (0, 0))
        sheet[:, top : top + cell_h, left : left + cell_w] = np.pad(films[:, i], border, mode="edge")
        places.append((top + y, left + x))
    last = _last_frame(sheet, crf)
    return np.stack([last[y : y + height, x : x + width] for y, x in places])


def _last_frame(frames: Pictures, crf: int) -> Pictures:
    """(T, H, W, 3), even sides -> (H, W, 3)."""
    encoder = av.VideoCodecContext.create("libx264", "w")
    encoder.height, encoder.width = frames.shape[1:3]
    encoder.pix_fmt, encoder.time_base, encoder.thread_count = "yuv420p", Fraction(1, 25), 1
    encoder.options = {"preset": "veryfast", "tune": "zerolatency", "crf": str(crf)}
    decoder = av.VideoCodecContext.create("h264", "r")
    decoder.thread_count = 1
    packets = []
    for number, planes in enumerate(_planes_from_bgr(frames)):
        frame = av.VideoFrame.from_ndarray(planes, "yuv420p")
        frame.pts = number
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    decoded = [frame for packet in [*packets, None] for frame in decoder.decode(packet)]
    return _bgr_from_planes(np.asarray(decoded[-1].to_ndarray(), np.uint8))


def _planes_from_bgr(frames: Pictures) -> Pictures:
    """(T, H, W, 3) -> (T, 1.5·H, W): Y above, below it Cb and Cr of half the size, each the mean of four pixels.

    FFmpeg's own conversion starts threads each time, which takes longer than the codec; OpenCV's takes every second
    pixel's chroma.
    """
    time, height, width, _ = frames.shape
    matrix = np.column_stack((_TO_YUV, _OFFSET))
    yuv = cv2.transform(frames.reshape(time * height, width, 3).astype(np.float32), matrix)
    chroma = cv2.resize(yuv[..., 1:], (width // 2, time * height // 2), interpolation=cv2.INTER_AREA)
    luma = yuv[..., 0].reshape(time, height * width)
    halves = chroma.reshape(time, -1, 2).swapaxes(1, 2).reshape(time, -1)
    return np.asarray(np.rint(np.concatenate((luma, halves), 1)), np.uint8).reshape(time, -1, width)


def _bgr_from_planes(planes: Pictures) -> Pictures:
    """(1.5·H, W) -> (H, W, 3), chroma interpolated."""
    width = planes.shape[1]
    height = len(planes) * 2 // 3
    halves = planes[height:].reshape(2, height // 2, width // 2).transpose(1, 2, 0).astype(np.float32)
    yuv = np.dstack((planes[:height], cv2.resize(halves, (width, height), interpolation=cv2.INTER_LINEAR)))
    back = np.linalg.inv(_TO_YUV)
    bgr = cv2.transform(yuv, np.column_stack((back, -back @ _OFFSET)))
    return np.asarray(np.clip(np.rint(bgr), 0, 255), np.uint8)
