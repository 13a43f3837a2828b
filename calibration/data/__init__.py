"""Face crops and labelled pictures."""
