"""CUDA driver access without a deep learning framework: context, arrays, streams and kernels."""
