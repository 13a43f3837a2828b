"""Training data: faces, labelled scenes, reference faces, degradations."""
