"""Evidence cards of faces and tracks."""
