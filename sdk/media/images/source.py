"""Sources of image files and folders of images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ...pipeline.frame import Frame
from ..source_sink import Source
from .image_file import image_paths, read_image


class ImageSource(Source):
    """One image file, decoded when the source is opened; raises InputError as `read_image` does."""

    kind = "image"
    frame_count = 1

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path, self.name = path, str(path)
        self._pixels = read_image(path)
        self.size_wh = (self._pixels.shape[1], self._pixels.shape[0])

    def __iter__(self) -> Iterator[Frame]:
        """Yield the single frame."""
        self.exhausted = False
        yield Frame(self._pixels, name=self.path.name if self.path else "")
        self.exhausted = True


class FolderSource(Source):
    """Images of a folder, sorted by name, decoded one at a time.

    Raises:
        InputError: the folder cannot be listed or holds no images.
    """

    kind = "folder"

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path, self.name = path, str(path)
        self._paths = image_paths(path)
        self.frame_count = len(self._paths)

    def __iter__(self) -> Iterator[Frame]:
        """Yield one frame per image; `Frame.name` is its file name.

        Raises:
            InputError: an image cannot be read.
        """
        self.exhausted = False
        for index, path in enumerate(self._paths):
            if self._closed:
                return
            yield Frame(read_image(path), index, name=path.name)
        self.exhausted = True
