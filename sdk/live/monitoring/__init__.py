"""What a live run tells about itself: accounts, metrics, health."""
