"""What the face service accepts, so that no client takes the memory or the time of the others."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from ....engines.errors import UsageError
from ...media.images.image_file import MAX_MEGAPIXELS


@dataclass(frozen=True)
class Limits:
    """Limits of the face service.

    Args:
        max_bytes: of the body of a request.
        max_megapixels: of a picture, known from its header before it is decoded; at most 100.
        max_detector_megapixels: of the detector's input for a picture, which grows with a smaller min_face.
        max_faces: of a picture that are upscaled, the best first.
        max_requests: at once, with those that wait for the network and those whose body arrives.
        max_of_client: requests of one client at once, so that it does not take the places of all; inf for any number.
        rate: requests/s of each client, averaged; inf for any.
        burst: requests that a client may send at once after a pause.
        body_s: seconds until the whole body has arrived.
        wait_s: seconds that a request waits for the network before it is refused.

    Bodies take at most `max_requests` times `max_bytes`; answers, which keep the place of their request until they are
    sent, up to 0.4 MB a face; decoded pictures 3 bytes a pixel for each worker.

    Raises:
        UsageError: a limit that is not positive, or too large.
    """

    max_bytes: int = 16 * 1024**2
    max_megapixels: float = 25.0
    max_detector_megapixels: float = 50.0
    max_faces: int = 100
    max_requests: int = 64
    max_of_client: float = math.inf
    rate: float = math.inf
    burst: int = 20
    body_s: float = 30.0
    wait_s: float = 60.0

    def __post_init__(self) -> None:
        for field in fields(self):
            if not (value := getattr(self, field.name)) > 0:
                raise UsageError(f"expected a positive {field.name}, got {value!r}")
        if self.max_megapixels > MAX_MEGAPIXELS:
            raise UsageError(
                f"expected a limit of at most {MAX_MEGAPIXELS} megapixels, which pictures have in this package, "
                f"got {self.max_megapixels:g}"
            )
