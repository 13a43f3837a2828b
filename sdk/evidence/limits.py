"""What a card does not prove, in words; stated first."""

from __future__ import annotations

from ..live.tracks.usability import MAX_YAW_DEG, MIN_BRIGHTNESS, MIN_SHARPNESS, MIN_SIDE
from ..provenance.statement import STATEMENT
from .card import SEVERAL_FRAMES, Card

ORIGINAL = (
    "The evidence is what the camera delivered: the source file and the original crops. Beside each estimate stands "
    "the same crop enlarged without a network; detail that is only in the estimate is the network's."
)
CONSISTENCY = (
    "Consistency compares the estimate, reduced to the size of the crop, with the crop. A high value means that the "
    "estimate does not contradict the camera. It does not mean that the detail is true: different faces can reduce to "
    "the same pixels."
)
COMPRESSION = (
    "Compression, noise, motion and the camera's own processing have changed the original too; nothing here reverses "
    "them."
)
USABILITY = (
    f"Usability is a measured property of the crop, not of the estimate: below {MIN_SIDE} px, mean luma "
    f"{MIN_BRIGHTNESS} or sharpness {MIN_SHARPNESS:g}, or turned by more than {MAX_YAW_DEG}°, automatic comparison of "
    "faces confuses persons often. A crop within these limits is no statement about who it is."
)
UNCERTAINTY = (
    "The uncertainty map shows, for each pixel, half the width of the interval that held the luma of the true pixel "
    "for 90 % of the pixels of held-out test faces. Other cameras and conditions may have larger errors."
)
REUSED = (
    "An estimate marked as reused is the enlarged crop with the network's detail of an earlier frame of the track, "
    "moved with the face; a face that stands still keeps the earlier pixels. Its consistency is not measured."
)
SEVERAL = (
    "An estimate from several frames is made from the crop and from crops of the same track in the frames before, "
    "registered to it, and of a share of the face of the frame before, which holds a share of those before it. It can "
    "contain detail that only the earlier frames show, and where a track passes over to another person, detail of both."
)
GAIN = (
    "The gain of several frames compares the faces of this track, made from several frames and from one, with the "
    "camera's pixels of the frame that follows, which neither was made from. It is a mean over whole faces: it does "
    "not mean that a certain detail is true, and what all frames have in common, such as errors of the lens, shows in "
    "none of them. A codec repeats its errors in the frame that follows, which favors the face from one frame."
)
TRACK = (
    "A track follows a face by its position from frame to frame. It can pass over to another person, for instance "
    "where faces cross or after a cut, and one person can have several tracks."
)
BICUBIC = "A face marked as bicubic was enlarged without a network."


def limits_of(card: Card) -> tuple[str, ...]:
    """Limits of a card, the most important first."""
    treatments = {item.treatment for item in card.items}
    uncertain = any(item.face.uncertainty is not None for item in card.items)
    tracked = any(item.track for item in card.items)
    measured = any(item.gain for item in card.items)
    optional = (
        (uncertain, UNCERTAINTY),
        (SEVERAL_FRAMES in treatments, SEVERAL),
        (measured, GAIN),
        ("reused" in treatments, REUSED),
        ("bicubic" in treatments, BICUBIC),
        (tracked, TRACK),
    )
    return (
        *(STATEMENT, ORIGINAL, CONSISTENCY),
        *(text for applies, text in optional if applies),
        *(USABILITY, COMPRESSION),
    )
