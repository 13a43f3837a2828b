"""Sources of image files, animations and folders of images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path

from ....engines.errors import InputError, MissingDependencyError
from ...pipeline.frame import Frame
from ...pipeline.summary import Failure
from ..source_sink import Source
from .file_notes import FileNotes
from .image_file import ImageFile, list_images


class ImageSource(Source):
    """One image file, decoded when the source is opened; of several frames or pages, the first.

    Args:
        path: image file.
        file: the same, if it is open.

    Raises:
        InputError: as of `ImageFile`.
        MissingDependencyError: a package that this format needs is not installed.
    """

    kind = "image"
    frame_count = 1

    def __init__(self, path: Path, file: ImageFile | None = None) -> None:
        super().__init__()
        self.path, self.name = path, str(path)
        file = file or ImageFile(path)
        self._frame = next(file.frames())
        self.size_wh = (self._frame.pixels.shape[1], self._frame.pixels.shape[0])
        self.notes += file.notes
        if file.frame_count > 1:
            self.notes.append(f"first of {file.frame_count} frames read")

    def __iter__(self) -> Iterator[Frame]:
        """Yield the single frame."""
        self.check_open()
        self.exhausted = False
        yield self._frame
        self.exhausted = True


class AnimationSource(Source):
    """Frames of an animation (WebP, PNG, AVIF), or pages of a TIFF, decoded one at a time.

    Args:
        file: with more than one frame.

    Attributes:
        time_base: unit of `Frame.pts` in seconds; pages are shown for 1 s each.
        loop: how often the animation is played, 0 for endlessly; None for pages.
        metadata: of the file.

    Raises:
        InputError: the first frame is damaged.
    """

    kind = "video"

    def __init__(self, file: ImageFile) -> None:
        super().__init__()
        self._file = file
        self.path, self.name = file.path, str(file.path)
        self.frame_count, self.time_base, self.loop = file.frame_count, file.time_base, file.loop
        self.metadata = file.metadata
        first = next(file.frames())
        self.size_wh = (first.pixels.shape[1], first.pixels.shape[0])
        self.rate = 1 / (first.duration * self.time_base) if first.duration else Fraction(25)
        self.notes += file.notes

    def __iter__(self) -> Iterator[Frame]:
        """Decode from the first frame; `Frame.name` is the file name.

        Raises:
            InputError: a frame is damaged; raised after the last that is not.
        """
        self.check_open()
        self.exhausted = False
        for frame in self._file.frames():
            if self._closed:
                return
            self.notes += [note for note in self._file.notes if note not in self.notes]
            yield frame
        self.exhausted = True


class FolderSource(Source):
    """Images of a folder, sorted by name, or several image files, decoded one at a time.

    An image that cannot be read is added to `failures`, and the next one is read. All frames of an animation and all
    pages of a TIFF are read; these have `Frame.pts`.

    Args:
        path: folder; None for several files.
        images: name of the output, which may be in a subfolder -> image file; None for all images of the folder.

    Attributes:
        images: as above.
        done: name of an image that is not read, because a stopped run has finished it -> number of its frames.
        loops: name of an animation that was read -> how often it is played, 0 for endlessly.
        refuse: called with the name and size (width, height) of each image before it is decoded; returns why the
            output cannot store it, or None.

    Raises:
        InputError: the folder cannot be listed or holds no images.
    """

    kind = "folder"

    def __init__(self, path: Path | None, images: Mapping[str, Path] | None = None) -> None:
        super().__init__()
        if images is None:
            paths, self.skipped = list_images(path or Path())
            images = {image.name: image for image in paths}
        self.images = dict(images)
        self.path, self.name = path, str(path or f"{len(self.images)} image{'s' if len(self.images) > 1 else ''}")
        self.done: dict[str, int] = {}
        self.frame_count = len(self.images)
        self.loops: dict[str, int] = {}
        self.refuse: Callable[[str, tuple[int, int]], str | None] = lambda name, size_wh: None
        self._file_notes = FileNotes(self.notes)
        self._notes_of: dict[str, tuple[str, ...]] = {}

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames of each image, with its name."""
        self.check_open()
        self.exhausted = False
        self.failures.clear()
        index = 0
        for name, path in self.images.items():
            if name in self.done:
                index += self.done[name]
                continue
            try:
                for frame in self._frames(name, path, index):
                    if self._closed:
                        return
                    index += 1
                    yield frame
            except (InputError, MissingDependencyError) as error:
                self.failures.append(Failure(name, str(error)))
        self.exhausted = True

    def notes_of(self, name: str) -> tuple[str, ...]:
        """What is lost or converted on reading one image, one line each; `notes` has one line for all images."""
        return self._notes_of.get(name, ())

    def _frames(self, name: str, path: Path, index: int) -> Iterator[Frame]:
        file = ImageFile(path)
        if reason := self.refuse(name, file.size_wh):
            raise InputError(reason)
        if file.loop is not None:
            self.loops[name] = file.loop
        for frame in file.frames(index, name):
            if file.notes:
                self._notes_of[name] = tuple(file.notes)
            for note in file.notes:
                self._file_notes.add(note, name)
            yield frame


def open_image(path: Path, data: bytes | None = None) -> Source:
    """Open an image file: an `AnimationSource` if it has several frames or pages, else an `ImageSource`.

    Args:
        path: image file.
        data: its content, if it has been read.

    Raises:
        InputError: as of `ImageFile`.
        MissingDependencyError: a package that this format needs is not installed.
    """
    file = ImageFile(path, data)
    return AnimationSource(file) if file.frame_count > 1 else ImageSource(path, file)
