"""A live run as a service: with its outputs, its web page, and messages to systemd."""
