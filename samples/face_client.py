"""Send pictures to a face service and save the upscaled faces beside their original pixels.

    facesr-edge serve
    python -m facesr_edge.samples.face_client portrait.jpg -o faces/ [--url http://127.0.0.1:8000] [--token-file token]

Needs nothing but Python: copy it into your own program.
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

TRIES = 5


@dataclass(frozen=True)
class UpscaledFace:
    """A face that the service found.

    Args:
        box_xyxy: left, top, right, bottom in pixels of the picture.
        score: of the detector, 0..1.
        usability: "ok", or why the face is not good enough to be recognized.
        consistency_db: agreement of the upscaled face with the camera's pixels, in dB; None if it is exact.
        pixels: PNG file of the upscaled face, an estimate.
        original: PNG file of the same part of the picture.
    """

    box_xyxy: tuple[float, float, float, float]
    score: float
    usability: str
    consistency_db: float | None
    pixels: bytes
    original: bytes

    @staticmethod
    def of(face: dict[str, Any]) -> UpscaledFace:
        """From an entry of "faces" of the answer."""
        left, top, right, bottom = face["box_xyxy"]
        files = (base64.b64decode(face[name]["data"]) for name in ("pixels", "original"))
        return UpscaledFace(
            (left, top, right, bottom), face["score"], face["usability"]["verdict"], face["consistency_db"], *files
        )


@dataclass(frozen=True)
class PictureFaces:
    """The faces of a picture.

    Args:
        faces: best first.
        too_large: number of faces that are larger than what is upscaled.
        left_out: number of faces beyond the limit of the service.
    """

    faces: tuple[UpscaledFace, ...]
    too_large: int
    left_out: int


class ServiceError(Exception):
    """The service refused a picture; the message is its reason."""


def faces_of(picture: bytes, url: str, token: str | None = None, **options: object) -> PictureFaces:
    """Send a picture; a busy service is asked again when it says so.

    Args:
        picture: the file, in any format that the service reads.
        url: of the service.
        token: if the service needs one.
        options: see /docs of the service, e.g. min_face=20.

    Raises:
        ServiceError: the picture was refused, or the service stays busy.
        URLError: the service cannot be reached.
    """
    query = urlencode({"originals": "true", **options})
    headers = {"Content-Type": "application/octet-stream"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    request = Request(f"{url}/faces?{query}", picture, headers, method="POST")
    for remaining in reversed(range(TRIES)):
        try:
            with urlopen(request, timeout=120) as response:
                answer = json.load(response)
                faces = tuple(UpscaledFace.of(face) for face in answer["faces"])
                return PictureFaces(faces, len(answer["too_large"]), answer["left_out"])
        except HTTPError as error:
            if error.code not in (429, 503) or not remaining:
                raise ServiceError(f"{error.code}: {json.load(error)['detail']}") from None
            time.sleep(float(error.headers.get("Retry-After", 1)))
    raise AssertionError("unreachable")


def main() -> int:
    """Write ``NAME-N.png`` and ``NAME-N-original.png`` for each face of each picture."""
    parser = argparse.ArgumentParser(description="Save the faces of pictures, upscaled by a face service.")
    parser.add_argument("pictures", nargs="+", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("faces"))
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--token-file", type=Path)
    arguments = parser.parse_args()
    token = arguments.token_file.read_text("utf-8").strip() if arguments.token_file else None
    arguments.output.mkdir(parents=True, exist_ok=True)
    failed = 0
    for path in arguments.pictures:
        try:
            found = faces_of(path.read_bytes(), arguments.url, token)
        except (ServiceError, OSError) as error:
            print(f"{path}: {error}", file=sys.stderr)
            failed += 1
            continue
        print(f"{path}: {len(found.faces)} faces, {found.too_large} too large, {found.left_out} left out")
        for n, face in enumerate(found.faces):
            (arguments.output / f"{path.stem}-{n}.png").write_bytes(face.pixels)
            (arguments.output / f"{path.stem}-{n}-original.png").write_bytes(face.original)
            print(f"  {n}: at {face.box_xyxy}, {face.usability}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
