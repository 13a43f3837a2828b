"""Super-resolution of tracks: a network that reads several crops of a face, and one for faces with a single crop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import EngineError
from ..inputs import SAMPLES
from ..session import CLOSED, MultiInputSession, Output, Session
from .accumulation import channels
from .history import History

MIN_FRAMES = 2
"""Crops from which on the multi-frame network is better than the single-frame one: on faces that move, two crops of
consecutive frames give 0.84 dB on clean frames and 0.13 dB behind H.264 at crf 33; one crop loses 0.2 dB on clean."""
MIN_MOVED_PX = 0.15
"""Motion of a face, see `History.moved_px`, below which it stands still: the single-frame network is better by 0.1 dB.
Errors of the registration alone are 0.01 px on clean frames, 0.09 px behind H.264 at crf 28."""
Histories = Sequence[History | None]
"""History of each face of a batch; None for a face without one."""


class TrackOutput(NamedTuple):
    """Output for a batch of faces of tracks.

    Args:
        output: as of a session.
        frames: number of crops that each face was made from, 1 for the single-frame network.
    """

    output: Output
    frames: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Prepared:
    """Faces of a frame, ready for the networks.

    Args:
        batches: crops, each as for `Session.infer`.
        samples: for each batch with faces for the multi-frame network theirs, see `History.samples`.
        frames: for each batch the number of crops behind each face; the multi-frame network upscales those of several.
    """

    batches: tuple[NDArray[np.uint8], ...]
    samples: tuple[NDArray[np.float32], ...]
    frames: tuple[tuple[int, ...], ...]


class MultiFrameSession:
    """Upscales faces with the crops of their tracks. Thread-safe, as the sessions are.

    Args:
        single: network for faces with fewer than `MIN_FRAMES` crops, and for those that stand still; not closed with
            this one.
        session: multi-frame network, of the same scale; closed with this one.
        frames: maximum number of crops of a face, 2 or more.

    Raises:
        EngineError: the networks do not fit together, or the second one does not read as many frames.
    """

    def __init__(self, single: Session, session: MultiInputSession, frames: int) -> None:
        io_spec = session.io_spec
        if io_spec.scale != single.io_spec.scale:
            raise EngineError(
                f"the multi-frame network upscales by {io_spec.scale}, the other one by {single.io_spec.scale}; "
                "load networks of the same scale"
            )
        if not 2 <= frames <= io_spec.frames:
            limits = f"2 to {io_spec.frames} frames" if io_spec.frames > 1 else "one frame; load a multi-frame network"
            raise EngineError(f"expected a network of {frames} frames, this one reads {limits}")
        self.single, self.session, self.frames = single, session, frames
        self._closed = False

    def infer_batches(self, batches: Sequence[NDArray[np.uint8]], histories: Sequence[Histories]) -> list[TrackOutput]:
        """Upscale batches of faces.

        Args:
            batches: crops, as for `Session.infer_batches`.
            histories: for each batch those of its faces, whose newest crop is that of the batch.

        Returns:
            For each batch its output, and the number of crops behind each face.

        Raises:
            EngineError: as `Session.infer_batches`, or a history is of another crop or has more than `frames` crops.
        """
        return self.infer(self.prepare(batches, histories))

    def prepare(self, batches: Sequence[NDArray[np.uint8]], histories: Sequence[Histories]) -> Prepared:
        """Choose the network of each face, and compute the samples; the first part of `infer_batches`.

        Args and errors: as of `infer_batches`.
        """
        frames = [self._frames(*one) for one in zip(batches, histories, strict=True)]
        known = [
            [history for history, count in zip(batch, counts, strict=True) if history and count > 1]
            for batch, counts in zip(histories, frames, strict=True)
        ]
        samples = [self._samples(batch.shape[1], one) for batch, one in zip(batches, known, strict=True) if one]
        return Prepared(tuple(batches), tuple(samples), tuple(frames))

    def infer(self, prepared: Prepared) -> list[TrackOutput]:
        """Run the networks; the second part of `infer_batches`.

        Raises:
            EngineError: as `Session.infer_batches`.
        """
        if self._closed:
            raise EngineError(CLOSED)
        several = [np.array(counts) > 1 for counts in prepared.frames]
        parts = [(batch[~rows], batch[rows]) for batch, rows in zip(prepared.batches, several, strict=True)]
        singles = [one for one, _ in parts if len(one)]
        multiples = [one for _, one in parts if len(one)]
        samples = [{SAMPLES: one} for one in prepared.samples]
        from_one = iter(self.single.infer_batches(singles) if singles else [])
        from_several = iter(self.session.infer_batches(multiples, samples) if multiples else [])
        results = []
        for rows, frames in zip(several, prepared.frames, strict=True):
            one = None if rows.all() else next(from_one)
            more = next(from_several) if rows.any() else None
            results.append(TrackOutput(_merged(one, more, rows), frames))
        return results

    def _frames(self, batch: NDArray[np.uint8], histories: Histories) -> tuple[int, ...]:
        """Number of crops that each face of a batch is made from."""
        if len(histories) != len(batch):
            raise EngineError(f"expected a history, or None, for each of {len(batch)} faces, got {len(histories)}")
        for history in histories:
            if history and history.newest.shape != batch.shape[1:3]:
                shape = "x".join(map(str, history.newest.shape[::-1]))
                raise EngineError(f"the newest crop of a history is {shape} px, that of the batch {batch.shape[2]} px")
            if history and history.frames > self.frames:
                raise EngineError(f"expected histories of at most {self.frames} crops, got {history.frames}")
        return tuple(crops_used(history) for history in histories)

    def _samples(self, side: int, histories: Sequence[History]) -> NDArray[np.float32]:
        """Samples of faces with a history, (N, 2·k², S, S)."""
        scale = self.session.io_spec.scale
        samples = np.empty((len(histories), channels(scale), side, side), np.float32)
        for history, row in zip(histories, samples, strict=True):
            history.samples(scale, row)
        return samples

    def warm_up(self) -> None:
        """Run every shape of the multi-frame network once, see `Session.warm_up`."""
        self.session.warm_up()

    def close(self) -> None:
        """Release the multi-frame network; later calls raise an EngineError. Idempotent."""
        self._closed = True
        self.session.close()


def crops_used(history: History | None) -> int:
    """Number of crops that a face is made from: 1 if it has not enough of them, or stands still."""
    if history is None or history.frames < MIN_FRAMES or history.moved_px < MIN_MOVED_PX:
        return 1
    return history.frames


def _merged(one: Output | None, several: Output | None, rows: NDArray[np.bool_]) -> Output:
    """The output of a batch from those of its faces with a single crop and with several, which `rows` selects."""
    if one is None or several is None:
        return several or one or Output(np.empty(0, np.uint8))
    tensor = np.empty((len(rows), *one.tensor.shape[1:]), one.tensor.dtype)
    tensor[~rows], tensor[rows] = one.tensor, several.tensor
    if one.residual is None or several.residual is None:
        return Output(tensor)
    residual = np.empty(len(rows), np.float32)
    residual[~rows], residual[rows] = one.residual, several.residual
    return Output(tensor, residual)
