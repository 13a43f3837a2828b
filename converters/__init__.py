"""Checkpoint -> network -> ONNX -> simplified ONNX -> FP16, each step held against the original."""
