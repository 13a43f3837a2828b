"""CUDA without a framework: driver, context, arrays, kernels."""
