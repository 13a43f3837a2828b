"""Pictures, videos and live streams: what stands behind `open_source` and `open_sink`."""
