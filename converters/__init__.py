"""Checkpoint to bundle: export to ONNX, quantize, evaluate, write and compile."""
