"""Videos: decoding, encoding, and the streams that are copied."""
