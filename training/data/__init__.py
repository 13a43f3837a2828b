"""Training data: faces, labelled pictures, references, degradations."""
