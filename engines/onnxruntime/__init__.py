"""ONNX Runtime: sessions and the quantizer."""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
# From 1.32 on, ONNX Runtime otherwise writes an identifier of the device and a database of events into the user's cache
# when it is imported.
