"""Live streams: reading, reconnection and state."""
