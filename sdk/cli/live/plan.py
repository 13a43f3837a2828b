"""What will run: the lines of ``--check``, and those at the start."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ...live.config.live_config import CameraConfig, LiveConfig
from ...media.reasons import plural

if TYPE_CHECKING:
    from ...live.service.service import Service


def plan_lines(config: LiveConfig) -> Iterator[str]:
    """A configuration without credentials: cameras with the options that are not the defaults, then the rest."""
    plan = config.to_dict()
    defaults = LiveConfig((CameraConfig("", ""),)).to_dict()["cameras"][0]["options"]
    yield plural(len(plan["cameras"]), "camera")
    for camera in plan.pop("cameras"):
        own = [f"{name}={value}" for name, value in camera["options"].items() if value != defaults[name]]
        yield "  " + "  ".join(filter(None, (camera["name"], camera["source"], *own)))
    yield from (f"{name}: {value}" for name, value in plan.items() if value not in (None, []))


def start_lines(service: Service, private: bool) -> Iterator[str]:
    """What has started.

    Args:
        service: that runs.
        private: only the user sees the lines, which may hold the token of the web page then.
    """
    live = service.live
    yield f"{plural(len(live.cameras), 'camera')} · {live.card.name} · budget {live.budget_ms:g} ms; Ctrl-C stops"
    if service.page:
        yield f"web page: {service.page.link if private else service.page.url}"
