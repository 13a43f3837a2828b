"""Several frames of one face: registration of its crops, and their samples on the grid of the upscaled face."""
