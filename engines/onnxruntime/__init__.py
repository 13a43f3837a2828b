"""ONNX Runtime: sessions, the quantizer, and sessions with a reference library."""
