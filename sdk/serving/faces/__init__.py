"""The face service: pictures in, faces out, over HTTP."""
