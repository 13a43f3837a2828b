"""What a verification finds: the outcome of each check in one line."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

State = Literal["right", "wrong", "unchecked", "note"]


@dataclass(frozen=True)
class CheckResult:
    """The outcome of one check.

    Args:
        state: "right"; "wrong"; "unchecked": it could not be checked, `text` says why; "note": a fact.
        check: what was checked: signature, signer, original, faces, composite, file or mark.
        text: one line.
    """

    state: State
    check: str
    text: str


@dataclass(frozen=True)
class Verification:
    """All checks of a file.

    Args:
        file: name.
        checks: their outcomes, in order.
    """

    file: str
    checks: tuple[CheckResult, ...]

    @property
    def ok(self) -> bool:
        """Something is right and nothing is wrong."""
        states = [check.state for check in self.checks]
        return "right" in states and "wrong" not in states

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"file": self.file, "ok": self.ok, "checks": [asdict(check) for check in self.checks]}
