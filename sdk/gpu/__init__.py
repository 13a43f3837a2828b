"""The stages of a frame on a GPU."""
