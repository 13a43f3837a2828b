"""FP16 and INT8 quantization of ONNX graphs."""
