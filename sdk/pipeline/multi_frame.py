"""Upscaling of faces with the crops of the frames before, where a stream has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ...engines.errors import EngineError
from ...engines.multiframe.session import MultiFrameSession, Prepared, TrackOutput
from ...engines.multiframe.steady import steadied
from ...engines.postprocess import Detections
from ...engines.session import Output, Session
from ..profiling.timing import Stopwatch
from .crop import Crops
from .results import Face
from .stream_tracks import StreamTracks, TrackedCrop
from .track_network import TrackNetwork, check_frames
from .upscale import faces_from


def _frames_of(tracked: TrackedCrop, crops: int) -> tuple[int, ...]:
    """Indices of the earlier frames that a face was made from: their crops, and the frame before for its share."""
    chosen = {*(tracked.earlier_frames if crops > 1 else ())}
    if tracked.before is not None and tracked.before.pixels is not None:
        chosen.add(tracked.indices[-2])
    return tuple(sorted(chosen))


def _steadied(output: TrackOutput, tracked: Sequence[TrackedCrop]) -> TrackOutput:
    """Mix the faces of a batch with those of the frame before, and keep them for the next one."""
    tensor, mixed = output.output.tensor, False
    for n, one in enumerate(tracked):
        if one.before is not None and one.before.pixels is not None:
            tensor[n] = steadied(tensor[n], one.history, one.before.pixels)
            mixed = True
        one.shown.pixels = tensor[n].copy()  # the caller may change what it gets
    return output._replace(output=Output(tensor)) if mixed else output  # whose consistency is not measured yet


class MultiFrameStage:
    """Upscales the faces of a stream's frame: those with enough crops by the multi-frame network.

    Args:
        single: network for the others.
        network: multi-frame network, closed with this stage.
        frames: maximum number of crops of a face, 2 to those of the network.

    Raises:
        UsageError: another number.
        EngineError: the networks do not fit together.
    """

    def __init__(self, single: Session, network: TrackNetwork, frames: int) -> None:
        check_frames(network.card, frames)
        io_spec, name = network.session.io_spec, network.card.name
        if not {*single.io_spec.crop_sizes} <= {*io_spec.crop_sizes}:
            sizes = [", ".join(map(str, spec.crop_sizes)) for spec in (single.io_spec, io_spec)]
            raise EngineError(f"the network takes crops of {sizes[0]} px, {name} of {sizes[1]}; give another one")
        self.network, self.frames = network, frames
        self._session = MultiFrameSession(single, network.session, frames)

    def new_tracks(self) -> StreamTracks:
        """Follows the faces of a stream."""
        return StreamTracks(self.frames, self._session.single.io_spec.crop_sizes)

    def prepare(self, crops: Sequence[Crops], tracked: Sequence[Sequence[TrackedCrop]]) -> Prepared:
        """Lay the samples of the earlier crops on the grids of the faces.

        Args:
            crops: batches of the frame.
            tracked: see `StreamTracks.follow`.
        """
        histories = [[one.history for one in batch] for batch in tracked]
        return self._session.prepare([batch.pixels for batch in crops], histories)

    def upscale(
        self,
        prepared: Prepared,
        crops: Sequence[Crops],
        tracked: Sequence[Sequence[TrackedCrop]],
        detections: Detections,
        timer: Stopwatch,
    ) -> tuple[Face, ...]:
        """Upscale the faces of a frame, in the order of the detections."""
        with timer.stage("upscale.network"):
            outputs = self._session.infer(prepared)
        with timer.stage("upscale.steady"):
            outputs = [_steadied(one, known) for one, known in zip(outputs, tracked, strict=True)]
        faces = faces_from(zip(crops, (one.output for one in outputs), strict=True), detections)
        earlier: dict[int, tuple[int, ...]] = {}
        for batch, known, output in zip(crops, tracked, outputs, strict=True):
            for index, one, count in zip(batch.indices, known, output.frames, strict=True):
                earlier[index] = _frames_of(one, count)
        return tuple(
            replace(face, frames=1 + len(earlier[index]), earlier_frames=earlier[index]) if earlier[index] else face
            for face, index in zip(faces, sorted(earlier), strict=True)
        )

    def warm_up(self) -> None:
        """Run every shape of the multi-frame network once."""
        self._session.warm_up()

    def close(self) -> None:
        """Release the multi-frame network; idempotent."""
        self._session.close()
