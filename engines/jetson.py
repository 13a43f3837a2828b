"""Jetson detection: model, JetPack release, power mode, clocks and DLA cores, from files and tools of the system."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path("/")
RELEASE = "etc/nv_tegra_release"
"""Release file that exists on every Jetson and nowhere else."""
TENSORRT_COMMAND = "sudo apt install python3-libnvinfer && python3 -m venv --system-site-packages .venv"
"""Installs JetPack's TensorRT and creates an environment that sees it."""


def run_tool(name: str, *arguments: str, root: Path = ROOT) -> str:
    """Run a system tool and return its output.

    Args:
        name: program; searched on PATH and in /usr/sbin, or only in usr/bin and usr/sbin of another root.
        arguments: of the program.
        root: of the file system.

    Returns:
        Standard output, stripped; "" if the tool is missing or fails.
    """
    folders = [root / "usr/bin", root / "usr/sbin"]
    path = os.pathsep.join((*([os.environ.get("PATH", "")] if root == ROOT else []), *map(str, folders)))
    program = shutil.which(name, path=path)
    if program is None:
        return ""
    try:
        process = subprocess.run(
            [program, *arguments], capture_output=True, stdin=subprocess.DEVNULL, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return process.stdout.decode("utf-8", "replace").strip()


@dataclass(frozen=True)
class Clock:
    """A processor clock in MHz.

    Args:
        name: "GPU" or "CPU" (its first core).
        current_mhz: current frequency; low when idle.
        min_mhz, max_mhz: limits of the current power mode.
    """

    name: str
    current_mhz: int
    min_mhz: int
    max_mhz: int

    @property
    def locked(self) -> bool:
        """Whether the clock is fixed at its maximum, as by ``jetson_clocks``."""
        return self.min_mhz == self.max_mhz

    def __str__(self) -> str:
        return f"{self.name} {f'at {self.max_mhz}' if self.locked else f'{self.min_mhz} to {self.max_mhz}'} MHz"


@dataclass(frozen=True)
class PowerMode:
    """A mode of nvpmodel; the same id is another mode on other boards.

    Args:
        id: as in ``nvpmodel -m``.
        name: e.g. "MAXN_SUPER".
    """

    id: int
    name: str


@dataclass(frozen=True)
class Jetson:
    """A Jetson and its current settings.

    Args:
        model: e.g. "NVIDIA Jetson AGX Orin Developer Kit"; "" if unknown.
        l4t: Jetson Linux release, e.g. "36.4.3".
        jetpack: JetPack release, e.g. "6.2"; "" if its packages are not installed.
        power_mode: nvpmodel's name, e.g. "MAXN"; "" if unknown.
        clocks: of GPU and CPU, as far as readable.
        dla_cores: number of deep learning accelerators.
        fastest_mode: mode of nvpmodel without a power limit, or of the highest one; None if unknown.
    """

    model: str
    l4t: str
    jetpack: str
    power_mode: str
    clocks: tuple[Clock, ...]
    dla_cores: int
    fastest_mode: PowerMode | None

    @property
    def release(self) -> str:
        """JetPack release for `EngineInfo`, or the Jetson Linux release if JetPack is not installed."""
        return self.jetpack or f"L4T {self.l4t}"

    def __str__(self) -> str:
        software = f"JetPack {self.jetpack}" if self.jetpack else self.release
        mode = f"power mode {self.power_mode or 'unknown'}"
        return f"{software}, {mode}, clocks {'locked' if self.locked else 'not locked'}"

    @property
    def encodes_video(self) -> bool:
        """Whether it has a hardware video encoder (NVENC); an Orin Nano has none."""
        return "Orin Nano" not in self.model

    @property
    def locked(self) -> bool:
        """Whether every readable clock is fixed at its maximum."""
        return bool(self.clocks) and all(clock.locked for clock in self.clocks)

    def settings(self) -> dict[str, Any]:
        """Settings that a card records with measured times; JSON-serializable."""
        return {
            "model": self.model,
            "l4t": self.l4t,
            "power_mode": self.power_mode,
            "clocks_mhz": {clock.name: clock.current_mhz for clock in self.clocks},
            "clocks_locked": self.locked,
        }


def this_jetson(root: Path = ROOT) -> Jetson | None:
    """The Jetson that this process runs on; None on other machines.

    Args:
        root: of the file system; files and tools are searched below it.
    """
    try:
        text = (root / RELEASE).read_text("utf-8", errors="replace")
    except OSError:
        return None
    release = re.search(r"R(\d+).*?REVISION:\s*([\d.]+)", text)
    jetpack = re.match(r"[\d.]+", run_tool("dpkg-query", "-W", "-f=${Version}", "nvidia-jetpack", root=root))
    mode = re.search(r"NV Power Mode:\s*(.+)", run_tool("nvpmodel", "-q", root=root))
    return Jetson(
        model=_read_text(root / "proc/device-tree/model").strip("\0 \n"),
        l4t=".".join(release.groups()) if release else text.partition("\n")[0].strip("# "),
        jetpack=jetpack.group() if jetpack else "",
        power_mode=mode.group(1).strip() if mode else "",
        clocks=tuple(_clocks(root)),
        # A core may be listed below several buses, by name and as a link: count distinct names.
        dla_cores=len({path.name for path in (root / "sys/devices/platform").glob("**/*host1x/*.nvdla[0-9]")}),
        fastest_mode=fastest_mode(_read_text(root / "etc/nvpmodel.conf")),
    )


def fastest_mode(conf: str) -> PowerMode | None:
    """The fastest mode of ``/etc/nvpmodel.conf``, by name: MAXN_SUPER, else MAXN, else the one of the most watts.

    Args:
        conf: text of the file, with a line ``< POWER_MODEL ID=2 NAME=MAXN_SUPER >`` for each mode.
    """
    found = re.findall(r"^\s*<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=([^\s>]+)", conf, re.MULTILINE)
    return max((PowerMode(int(number), name) for number, name in found), key=_speed, default=None)


def _speed(mode: PowerMode) -> tuple[bool, bool, int]:
    watts = re.search(r"(\d+)W", mode.name)
    return mode.name == "MAXN_SUPER", mode.name.startswith("MAXN"), int(watts.group(1)) if watts else 0


def platform_name() -> str:
    """Operating system and processor that engines are compiled for, e.g. "linux-aarch64"."""
    return f"{platform.system()}-{platform.machine()}".lower()


def _clocks(root: Path) -> Iterator[Clock]:
    """Clocks of GPU and CPU that are readable without root."""
    for folder in sorted((root / "sys/class/devfreq").glob("*")):
        if re.search(r"\.(gpu|ga10b|gv11b)$|^gpu-gpc", folder.name):
            yield from _clock("GPU", [folder / f"{kind}_freq" for kind in ("cur", "min", "max")], per_mhz=1_000_000)
            break
    core = root / "sys/devices/system/cpu/cpu0/cpufreq"
    yield from _clock("CPU", [core / f"scaling_{kind}_freq" for kind in ("cur", "min", "max")], per_mhz=1_000)


def _clock(name: str, files: list[Path], per_mhz: int) -> Iterator[Clock]:
    values = [_read_text(file).strip() for file in files]
    if all(text.isdigit() for text in values):
        yield Clock(name, *(round(int(text) / per_mhz) for text in values))


def _read_text(path: Path) -> str:
    try:
        return path.read_text("utf-8", errors="replace")
    except OSError:
        return ""
