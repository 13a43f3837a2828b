"""OpenVINO sessions."""
