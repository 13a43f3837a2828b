"""Whole-frame cameras: faces that move over scenes, through optics, sensor, image processing and real codecs."""
