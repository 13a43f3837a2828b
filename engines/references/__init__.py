"""Reference-based super-resolution: libraries of reference faces, and a session that uses one in any runtime."""
