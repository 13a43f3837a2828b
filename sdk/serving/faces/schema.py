"""Options and answers of the face service as pydantic models, from which its OpenAPI document is made."""

from __future__ import annotations

from enum import Enum

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Pictures(str, Enum):
    """How the pictures of the faces are returned."""

    base64 = "base64"
    parts = "parts"
    none = "none"


class PictureFormat(str, Enum):
    """File format of the pictures of the faces."""

    png = "png"
    jpeg = "jpeg"
    webp = "webp"


class FaceOptions(BaseModel):
    """Options of a request, in the query."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_face: float | None = Field(
        None, ge=4, le=2000, description="Minimum face size in pixels; the default is that of the service."
    )
    score: float | None = Field(
        None, ge=0.1, le=1, description="Minimum detection score; the default is that of the service."
    )
    max_faces: int | None = Field(
        None, ge=0, description="Faces to upscale, the best first; at most, and by default, the limit of the service."
    )
    pictures: Pictures = Field(
        Pictures.base64,
        description="`base64`: in the JSON answer; `parts`: as parts of `multipart/mixed`, the first of which is the "
        "JSON answer; `none`: boxes and figures only.",
    )
    format: PictureFormat = Field(PictureFormat.png, description="File format of the pictures.")
    quality: int | None = Field(
        None, ge=1, le=100, description="Quality of JPEG (default 95) and WebP (default lossless); not of PNG."
    )
    originals: bool = Field(False, description="Also return the camera's pixels of each face.")

    @model_validator(mode="after")
    def _check_quality(self) -> FaceOptions:
        if self.quality is not None and self.format is PictureFormat.png:
            raise ValueError("quality is for format=jpeg and format=webp; leave it out for png")
        return self


class Picture(BaseModel):
    """A picture of a face."""

    media_type: str = Field(description="`image/png`, `image/jpeg` or `image/webp`.")
    width: int
    height: int
    sha256: str = Field(description="Of the (height, width, 3) uint8 BGR pixels before encoding, in hexadecimal.")
    data: str | None = Field(None, description="The file in base64, with `pictures=base64`.")
    content_id: str | None = Field(None, description="`Content-ID` of the part, with `pictures=parts`.")


class FaceUsability(BaseModel):
    """Whether a face is good enough to be recognized or kept."""

    verdict: str = Field(description="`ok`, or the first reason against: too small, too dark, too blurred, profile.")
    side_px: float | None = Field(description="Longer side of the box in pixels.")
    sharpness: float | None = Field(description="0 to about 1 (sharp), relative to the size of the face.")
    brightness: float | None = Field(description="Mean luma of the face, 0 to 255.")
    yaw_deg: float | None = Field(description="Of the head, positive to the right in the picture.")
    score: float | None = Field(description="0 to 1, to compare faces of one person.")


class FaceAnswer(BaseModel):
    """A face."""

    box_xyxy: list[float | None] = Field(description="Left, top, right, bottom in pixels of the picture.")
    score: float | None = Field(description="Of the detector, 0 to 1.")
    landmarks: list[list[float | None]] = Field(
        description="x, y of the eyes, the nose and the corners of the mouth, left to right, in pixels of the picture."
    )
    window_xyxy: list[int] = Field(description="The part of the picture that was upscaled.")
    scale: int = Field(description="Pixels of the network per pixel of the camera, in each direction.")
    consistency_db: float | None = Field(
        description="PSNR of the camera's pixels against the downscaled face; null if they are equal."
    )
    usability: FaceUsability
    pixels: Picture | None = Field(None, description="The upscaled window; an estimate.")
    original: Picture | None = Field(None, description="The camera's pixels of the window, with `originals=true`.")


class Network(BaseModel):
    """What the pixels of a face depend on, besides the camera's."""

    name: str
    fingerprint: str = Field(description="Hash of the model's files.")
    precision: str
    engine: str
    scale: int
    detector: str = Field(description="Hash of the detector's files.")
    version: str = Field(description="Of facesr-edge.")


class FacesAnswer(BaseModel):
    """The faces of a picture."""

    size_wh: list[int] = Field(description="Width and height of the picture in pixels, upright.")
    faces: list[FaceAnswer] = Field(description="Best first.")
    too_large: list[list[float | None]] = Field(description="Boxes of faces that are larger than what is upscaled.")
    left_out: int = Field(description="Faces beyond `max_faces`, which were not upscaled.")
    notes: list[str] = Field(description="What was converted or not read of the picture, one line each.")
    network: Network
    statement: str
    digital_source_type: str = Field(description="IPTC's term for the pictures of the faces.")
    timings_ms: dict[str, float] = Field(description="wait, decode, detect, upscale, encode: milliseconds.")


class ProblemAnswer(BaseModel):
    """Why a request got no faces."""

    detail: str = Field(description="One line: what was expected, what came, what to do.")


class HealthAnswer(BaseModel):
    """Whether the service works."""

    healthy: bool
    why: str | None = Field(None, description="The reason if it does not; only with the token.")
