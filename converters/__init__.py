"""Checkpoint -> network -> ONNX -> simplified ONNX -> FP16 or INT8, each step held against the original."""
