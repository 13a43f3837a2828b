"""TensorRT: building, loading and running engines."""
