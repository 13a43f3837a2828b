"""Media input and output: images, folders, videos, cameras and network streams."""
