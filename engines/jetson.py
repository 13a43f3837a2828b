"""What a tool of the operating system says when it is asked."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path("/")


def run_tool(name: str, *arguments: str, root: Path = ROOT) -> str:
    """Run a tool and read what it prints.

    Args:
        name: of the program; looked for on PATH and in /usr/sbin, or in another root's own folders alone.
        arguments: for it.
        root: of the file system.

    Returns:
        Its standard output without the white space round it; "" where there is no such tool, or it fails.
    """
    folders = [root / "usr/bin", root / "usr/sbin"]
    path = os.pathsep.join((*([os.environ.get("PATH", "")] if root == ROOT else []), *map(str, folders)))
    program = shutil.which(name, path=path)
    if program is None:
        return ""
    try:
        done = subprocess.run(
            [program, *arguments], capture_output=True, stdin=subprocess.DEVNULL, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode("utf-8", "replace").strip()


RELEASE = "etc/nv_tegra_release"
"""Every Jetson has it, and nothing else does."""


@dataclass(frozen=True)
class Clock:
    """A clock that the system sets, in MHz.

    Args:
        name: "GPU" or "CPU" (its first core).
        current_mhz: now; idle processors are slow.
        least_mhz, most_mhz: what it may be set to in this power mode.
    """

    name: str
    current_mhz: int
    least_mhz: int
    most_mhz: int

    @property
    def locked(self) -> bool:
        """Whether it stays at its most, as ``jetson_clocks`` does."""
        return self.least_mhz == self.most_mhz

    def __str__(self) -> str:
        return f"{self.name} {f'at {self.most_mhz}' if self.locked else f'{self.least_mhz} to {self.most_mhz}'} MHz"


@dataclass(frozen=True)
class Jetson:
    """A Jetson as it is set now.

    Args:
        model: e.g. "NVIDIA Jetson AGX Orin Developer Kit"; "" where the kernel does not say.
        l4t: release of Jetson Linux, e.g. "36.4.3".
        jetpack: release of JetPack, e.g. "6.2"; "" where its packages are not installed.
        power_mode: as nvpmodel calls it, e.g. "MAXN"; "" where nobody knows.
        clocks: of GPU and CPU, those that can be read.
        dla_cores: deep learning accelerators that the kernel has found.
    """

    model: str
    l4t: str
    jetpack: str
    power_mode: str
    clocks: tuple[Clock, ...]
    dla_cores: int

    @property
    def release(self) -> str:
        """Of its software, for the key of an engine: JetPack's number, or Jetson Linux's where it is not installed."""
        return self.jetpack or f"L4T {self.l4t}"

    def __str__(self) -> str:
        software = f"JetPack {self.jetpack}" if self.jetpack else self.release
        mode = f"power mode {self.power_mode or 'not known'}"
        return f"{software}, {mode}, clocks {'locked' if self.locked else 'not locked'}"

    @property
    def locked(self) -> bool:
        """Whether every clock that can be read stays at its most."""
        return bool(self.clocks) and all(clock.locked for clock in self.clocks)

    def settings(self) -> dict[str, Any]:
        """What a card keeps beside a time that was measured here; ready for JSON."""
        return {
            "model": self.model,
            "l4t": self.l4t,
            "power_mode": self.power_mode,
            "clocks_mhz": {clock.name: clock.current_mhz for clock in self.clocks},
            "clocks_locked": self.locked,
        }


def this_jetson(root: Path = ROOT) -> Jetson | None:
    """Look at the Jetson that this runs on; none where it is none.

    Args:
        root: of the file system; files and tools are looked for below it.
    """
    try:
        said = (root / RELEASE).read_text("utf-8", errors="replace")
    except OSError:
        return None
    release = re.search(r"R(\d+).*?REVISION:\s*([\d.]+)", said)
    jetpack = re.match(r"[\d.]+", run_tool("dpkg-query", "-W", "-f=${Version}", "nvidia-jetpack", root=root))
    mode = re.search(r"NV Power Mode:\s*(.+)", run_tool("nvpmodel", "-q", root=root))
    return Jetson(
        model=_text(root / "proc/device-tree/model").strip("\0 \n"),
        l4t=".".join(release.groups()) if release else said.partition("\n")[0].strip("# "),
        jetpack=jetpack.group() if jetpack else "",
        power_mode=mode.group(1).strip() if mode else "",
        clocks=tuple(_clocks(root)),
        # The same core may be listed below more than one bus: by name, and as a link.
        dla_cores=len({path.name for path in (root / "sys/devices/platform").glob("**/*host1x/*.nvdla[0-9]")}),
    )


def _clocks(root: Path) -> Iterator[Clock]:
    """GPU and CPU, where the kernel lets everybody read them."""
    for folder in sorted((root / "sys/class/devfreq").glob("*")):
        if re.search(r"\.(gpu|ga10b|gv11b)$|^gpu-gpc", folder.name):
            yield from _clock("GPU", [folder / f"{kind}_freq" for kind in ("cur", "min", "max")], per_mhz=1_000_000)
            break
    core = root / "sys/devices/system/cpu/cpu0/cpufreq"
    yield from _clock("CPU", [core / f"scaling_{kind}_freq" for kind in ("cur", "min", "max")], per_mhz=1_000)


def _clock(name: str, files: list[Path], per_mhz: int) -> Iterator[Clock]:
    told = [_text(file).strip() for file in files]
    if all(text.isdigit() for text in told):
        current, least, most = (round(int(text) / per_mhz) for text in told)
        yield Clock(name, current, least, most)


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", errors="replace")
    except OSError:
        return ""
