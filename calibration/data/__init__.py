"""Face crops and labelled images."""
