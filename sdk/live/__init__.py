"""Live cameras: many streams, one budget, tracks."""
