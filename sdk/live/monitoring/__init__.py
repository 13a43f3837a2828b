"""What a live run tells of itself: metrics, health, recordings, traces."""
