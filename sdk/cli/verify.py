"""``facesr-edge verify``: check the signature of an output, and recompute its faces from the original."""

from __future__ import annotations

from pathlib import Path

import click

from .console import put_json, say, show
from .options import STDOUT, Command, json_option, path_option

_WORDS = {"right": "ok", "wrong": "WRONG", "unchecked": "not checked", "note": "note"}


@click.command("verify", cls=Command, short_help="Check a signed output, and recompute its faces from the original.")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@path_option("--original", metavar="FILE", help="The input that FILE was made of; its faces are recomputed.")
@path_option("--cert", metavar="FILE", help="PEM certificates of the issuers that you trust.")
@click.option("--model", metavar="FOLDER", help="Bundle of the network, if the package does not have it.")
@click.option(
    "--track-model", metavar="FOLDER", help="Bundle of the multi-frame network, if the package does not have it."
)
@click.option("--detector", metavar="FOLDER", help="Bundle of the detector, if the package does not have it.")
@json_option("The checks")
def command(
    file: Path,
    original: Path | None,
    cert: Path | None,
    model: str | None,
    track_model: str | None,
    detector: str | None,
    json_file: str | None,
) -> None:
    """Check an image or video that facesr-edge run --sign wrote: is it as it was signed, by whom, of which original,
    and does the same network make the same pixels of it?

    Each check is one line: ok, WRONG, not checked, or a note. The exit code is 0 if the signature is valid and
    nothing is WRONG.

    \b
    Examples:
      facesr-edge verify upscaled.png
      facesr-edge verify upscaled.png --original group.jpg --cert ca.pem
      facesr-edge verify upscaled.mp4 --original clip.mp4 --cert ca.pem --json report.json
    """
    from ...engines.errors import FacesrError
    from ..provenance.verify import VerifyOptions, verify

    found = verify(file, VerifyOptions(original, cert, model, detector, track_model), say)
    if json_file:
        put_json(found.to_dict(), json_file)
    if json_file != STDOUT:
        for check in found.checks:
            show(f"{_WORDS[check.state]}: {check.check}: {check.text}")
    if not found.ok:
        wrong = sum(check.state == "wrong" for check in found.checks)
        if not wrong:
            raise FacesrError(f"{file} is not verified: nothing could be checked")
        raise FacesrError(f"{file} is not verified: {wrong} check{'s are' if wrong > 1 else ' is'} wrong")
