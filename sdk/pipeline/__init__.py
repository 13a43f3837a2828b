"""The stages of a frame: detect, crop, upscale, paste."""
