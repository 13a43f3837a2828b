"""The GStreamer element."""
