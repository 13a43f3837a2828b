"""``python -m facesr_edge`` runs the command ``facesr-edge``."""

from __future__ import annotations

from .sdk.cli.main import main

main()
