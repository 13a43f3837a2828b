"""Network to ONNX."""
