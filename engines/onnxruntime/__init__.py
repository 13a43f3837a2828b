"""ONNX Runtime: sessions, the quantizer, and reference-based sessions with their library."""
