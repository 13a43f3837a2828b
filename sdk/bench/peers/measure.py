"""`bench peers`: this package against other software on the same weights, crops, frame and faces."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....engines.bundle.bundle import Bundle
from ....engines.errors import UsageError
from ...doctor.machine import Machine, busy, load_now, this_machine
from ...load import load
from ...pipeline.results import FrameResult
from ..pipeline import check_faces
from ..scenes import make_scene, portraits_of
from ..tables import RunProgress
from .detectors import DetectorPeers
from .networks import NetworkPeers
from .pasting import paste_task
from .task import Task, TaskTimings, measure_task

ROUNDS, QUICK_ROUNDS = 20, 3
SIZE, FACES, SIDE = "1080p", 8, 64
"""Frame size, number of faces in it, and side of the crops in pixels."""
OUTSCALE = 2


@dataclass(frozen=True)
class PeersTimings:
    """All tasks of one run."""

    machine: Machine
    when: str  # start, ISO 8601 with time zone
    load: float | None  # load average of the last minute at the start; None if the system does not report it
    model: str
    threads: int  # CPU threads; 0 for one per core
    rounds: int
    runtime: str  # that "auto" chose for the network
    tasks: tuple[TaskTimings, ...]
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        run = ("when", "load", "model", "threads", "rounds", "runtime")
        return {
            "machine": self.machine.to_dict(),
            **{name: getattr(self, name) for name in run},
            "notes": list(self.notes),
            "tasks": [task.to_dict() for task in self.tasks],
        }


def measure_peers(
    bundle: Bundle,
    images: list[NDArray[np.uint8]],
    *,
    yunet: Path | None = None,
    threads: int = 0,
    rounds: int = ROUNDS,
    report: RunProgress = lambda step, done, total: None,
) -> PeersTimings:
    """Time every task, all its peers interleaved.

    Args:
        bundle: super-resolution network without references.
        images: with a face each, see `portraits_of`.
        yunet: ONNX file of YuNet.
        threads: CPU threads; 0 for one per core.
        rounds: measured rounds.
        report: see `RunProgress`.

    Raises:
        UsageError: the network takes references, or no crops of `SIDE` pixels.
        InputError: the detector finds another number of faces.
    """
    io_spec = bundle.card.io_spec
    if io_spec.references or SIDE not in io_spec.crop_sizes:
        raise UsageError(f"expected a model that takes crops of {SIDE} px and no references, got {bundle.card.name}")
    machine, load_average = this_machine(), load_now()
    when = datetime.now().astimezone().isoformat(timespec="seconds")
    with load(bundle.folder, outscale=OUTSCALE, threads=threads) as pipeline:
        scene = make_scene(SIZE, FACES, portraits_of(images, pipeline.detector))
        result = pipeline(scene.frame(0))
        check_faces(scene, result)
        runtime = pipeline.session.runtime
    with TemporaryDirectory() as folder:
        networks = NetworkPeers(bundle, crops_around(result), threads, Path(folder))
        frame = result.source.pixels
        tasks: tuple[Task, ...] = (
            networks.pixels_task(),
            networks.network_task(),
            DetectorPeers(frame, threads, yunet).task(FACES),
            paste_task(frame, result.faces, OUTSCALE),
        )
        measured = tuple(measure_task(task, rounds, report) for task in tasks)
    notes = busy(machine, load_average)
    return PeersTimings(machine, when, load_average, bundle.card.name, threads, rounds, runtime, measured, notes)


def crops_around(result: FrameResult) -> NDArray[np.uint8]:
    """Crops of `SIDE` pixels around the faces, (N, SIDE, SIDE, 3); of larger faces they show the center."""
    frame, crops = result.source.pixels, []
    for face in result.faces:
        x, y = ((face.box_xyxy[:2] + face.box_xyxy[2:]) / 2 - SIDE / 2).round().astype(int)
        left, top = (int(np.clip(v, 0, length - SIDE)) for v, length in ((x, frame.shape[1]), (y, frame.shape[0])))
        crops.append(frame[top : top + SIDE, left : left + SIDE])
    return np.stack(crops)
