"""Replay of a recorded live run: what happened, and the capacity of its machine."""
