"""PyTorch to ONNX export, verified against PyTorch."""
