"""What a verification finds: one line for each check."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

State = Literal["right", "wrong", "unchecked", "note"]


@dataclass(frozen=True)
class Finding:
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
    """All findings on a file.

    Args:
        file: name.
        findings: in the order of the checks.
    """

    file: str
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Something is right and nothing is wrong."""
        states = [finding.state for finding in self.findings]
        return "right" in states and "wrong" not in states

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"file": self.file, "ok": self.ok, "findings": [asdict(finding) for finding in self.findings]}
