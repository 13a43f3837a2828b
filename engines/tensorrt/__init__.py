"""TensorRT: build, load and run engines."""
