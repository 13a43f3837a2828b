"""What outputs state about themselves."""

DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
"""Term of IPTC for a picture of a camera with elements that a trained network made; see
https://cv.iptc.org/newscodes/digitalsourcetype/."""

STATEMENT = (
    "Faces were enlarged by a neural network. Added detail is an estimate: it agrees with the camera's pixels, but "
    "need not be true. Do not identify anybody by it."
)
"""For people, in metadata and on evidence cards."""
