"""What several frames of one face are worth, measured on the camera's own pixels."""
