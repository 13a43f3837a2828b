"""Inputs of the cases, the command, and what others read in its outputs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from ..kept.command import OPTIONS
from ..kept.matrix import Cell, Matrix

RATE = 15
FRAMES = 45
LONG_FRAMES = 600
SIZE_WH, LONG_SIZE_WH = (480, 272), (240, 136)
_STYLES = re.compile(r"\x1b\[[0-9;]*m")
_TIMEOUT_S = 300


@dataclass(frozen=True)
class Measured:
    """What a case shows.

    Args:
        command: what was run.
        value: measured.
        right: whether it is the right value.
    """

    command: str
    value: str
    right: bool


class Workspace:
    """A folder with the inputs of the cases.

    Args:
        folder: for inputs and outputs.
        clip: any video with faces.
        start_s: where in the clip the faces are, in seconds.
    """

    def __init__(self, folder: Path, clip: Path, start_s: float = 0.0) -> None:
        self.folder = folder
        self._clip, self._start_s = clip, start_s
        self._matrix = Matrix(self.path("matrix"))

    def path(self, name: str) -> Path:
        """An empty folder, or a file in one, of this name."""
        path = self.folder / name
        (path.parent if path.suffix else path).mkdir(parents=True, exist_ok=True)
        return path

    @cached_property
    def pictures(self) -> list[NDArray[np.uint8]]:
        """(272, 480, 3) uint8 BGR: frames of the clip, which are repeated if it is short."""
        found: list[NDArray[np.uint8]] = []
        with av.open(str(self._clip)) as container:
            for frame in container.decode(video=0):
                if (frame.time or 0) < self._start_s:
                    continue
                small = cv2.resize(frame.to_ndarray(format="bgr24"), SIZE_WH, interpolation=cv2.INTER_AREA)
                found.append(np.asarray(small, np.uint8))
                if len(found) == FRAMES:
                    break
        return [found[index % len(found)] for index in range(FRAMES)]

    @cached_property
    def clip(self) -> Path:
        """MP4 of 45 frames, 15 frames/s, 480x272, with sound."""
        return self.video("clip.mp4", self.pictures)

    @cached_property
    def long_clip(self) -> Path:
        """MP4 of 600 frames, 240x136, with sound."""
        small = [np.asarray(cv2.resize(one, LONG_SIZE_WH), np.uint8) for one in self.pictures]
        return self.video("long.mp4", [small[i % len(small)] for i in range(LONG_FRAMES)])

    def video(self, name: str, pictures: list[NDArray[np.uint8]], **container_options: str) -> Path:
        """Encode pictures with a sine tone."""
        path = self.path(name)
        with av.open(str(path), "w", options=container_options) as container:
            stream: Any = container.add_stream("libx264", rate=RATE, options={"bf": "0", "preset": "veryfast"})
            stream.height, stream.width = pictures[0].shape[:2]
            sound: Any = container.add_stream("aac", rate=48_000)
            sound.layout = "mono"
            step = 48_000 // RATE
            for index, pixels in enumerate(pictures):
                frame = av.VideoFrame.from_ndarray(pixels, "bgr24")
                frame.pts, frame.time_base = index, Fraction(1, RATE)
                container.mux(stream.encode(frame))
                tone = (np.sin(np.arange(index * step, (index + 1) * step) * 0.06) * 9000).astype(np.int16)
                samples = av.AudioFrame.from_ndarray(tone[None], format="s16", layout="mono")
                samples.sample_rate, samples.pts, samples.time_base = 48_000, index * step, Fraction(1, 48_000)
                container.mux(sound.encode(samples))
            for one in (stream, sound):
                container.mux(one.encode(None))
        return path

    def command(self, *arguments: object) -> list[str]:
        """`facesr-edge run` in a process of its own."""
        return [sys.executable, "-m", "facesr_edge", "run", *map(str, arguments), *OPTIONS]

    def run(self, *arguments: object, stdin: Path | None = None, **settings: Any) -> Finished:
        """Run to the end; standard input is a pipe if a file is given."""
        feed = subprocess.Popen(["cat", str(stdin)], stdout=subprocess.PIPE) if stdin else None
        source = feed.stdout if feed else subprocess.DEVNULL
        done = subprocess.run(
            self.command(*arguments), stdin=source, capture_output=True, timeout=_TIMEOUT_S, check=False, **settings
        )
        if feed:
            feed.terminate()
            feed.wait()
        return Finished(done.returncode, done.stdout, _STYLES.sub("", done.stderr.decode("utf-8", "replace")))

    def start(self, *arguments: object) -> subprocess.Popen[bytes]:
        """Start without waiting."""
        return subprocess.Popen(
            self.command(*arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )

    def cells(self, *pairs: tuple[str, str]) -> list[Cell]:
        """What is kept of kinds of input in kinds of output."""
        return list(self._matrix.cells(pairs))


@dataclass(frozen=True)
class Finished:
    """A finished command.

    Args:
        code: exit code.
        stdout: standard output.
        messages: standard error.
    """

    code: int
    stdout: bytes
    messages: str

    @property
    def notes(self) -> list[str]:
        """The notes, without the prefix."""
        return [line.removeprefix("note: ") for line in self.messages.splitlines() if line.startswith("note: ")]

    @property
    def text(self) -> str:
        """Everything that was printed."""
        return self.stdout.decode("utf-8", "replace") + self.messages

    @property
    def last(self) -> str:
        """The last line."""
        return next((line for line in reversed(self.messages.strip().splitlines()) if line), "")


def frames_in(path: Path) -> int:
    """Number of frames that another reader decodes before the end or an error."""
    count = 0
    with suppress(av.FFmpegError, OSError, IndexError), av.open(str(path)) as container:
        for _ in container.decode(video=0):
            count += 1
    return count


def packets_of_sound(path: Path) -> int:
    """Number of packets of the first sound stream."""
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return 0
        return sum(1 for packet in container.demux(container.streams.audio[0]) if packet.size)


def document(path: Path) -> dict[str, Any]:
    """A JSON document; {} if it is missing or does not parse."""
    try:
        found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found


def faces_in(path: Path) -> int:
    """Number of faces in a JSON document."""
    return sum(len(frame.get("faces", ())) for frame in document(path).get("frames", ()))


def leftovers(folder: Path, *expected: str) -> list[str]:
    """Names of files that are not expected in a folder."""
    return sorted(path.name for path in folder.iterdir() if path.name not in expected)


def states(command: str, cells: list[Cell], *names: str) -> Measured:
    """What is kept of some properties; right if nothing is lost in silence."""
    chosen = [cell for cell in cells if cell.name in (*names, "run")]
    outputs: dict[tuple[str, str], list[str]] = {}
    for cell in chosen:
        outputs.setdefault((cell.name, cell.state), []).append(f"{cell.output} {cell.value}".strip())
    parts = [f"{name} {state}: {', '.join(dict.fromkeys(found))}" for (name, state), found in outputs.items()]
    return Measured(command, "; ".join(parts), bool(chosen) and not any(cell.faulty for cell in chosen))
