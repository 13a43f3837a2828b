"""facesr-edge: edge deployment of face super-resolution."""

__version__ = "0.1.0"
