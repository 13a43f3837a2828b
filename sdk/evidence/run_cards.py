"""Cards of a run: one for each picture and each video with upscaled faces."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePath

from ...engines.errors import FacesrError, one_line
from ..live.sinks.safe_name import safe_name
from ..media.images.color_profiles import RGB, color_space
from ..media.images.sequence import SequenceSource
from ..media.images.source import FolderSource
from ..media.reasons import plural
from ..media.sinks import make_writable
from ..media.source_sink import Source
from ..pipeline.frame import ImageMetadata
from ..pipeline.pipeline import Pipeline
from ..pipeline.results import Face, FrameResult
from ..provenance.credentials import Credentials
from ..provenance.network_use import NetworkUse
from ..provenance.seal import settings_of
from .card import SEVERAL_FRAMES, Card, CardSource, EvidenceItem, FrameView, LeftOut, SourceKind
from .items import face_usability, item_of
from .pictures import view_of
from .signed_pictures import picture_signer
from .source_facts import FileStamp, file_source
from .video_faces import VideoFaces
from .write import remove_unfinished, write_card

MAX_FACES = 100
"""Faces on the card of a picture; of more, the most usable are shown."""
MAX_NAMES = 5
"""Names of inputs in a message."""
REFERENCES = "The network took detail from reference faces of other persons."


class RunCards:
    """Writes a card below a folder for each picture and each video of a run.

    Args:
        folder: created if it is missing; cards in it stay.
        pipeline: of the run.
        credentials: sign the pictures with pixels of a network; None for unsigned ones.

    Attributes:
        written: folders of the cards.
        without_faces: names of the sources without an upscaled face, which have no card.

    Raises:
        OutputError: the folder cannot be written.
    """

    def __init__(self, folder: Path, pipeline: Pipeline, credentials: Credentials | None = None) -> None:
        make_writable(folder)
        remove_unfinished(folder)
        self.folder, self._pipeline, self._credentials = folder, pipeline, credentials
        self.written: list[Path] = []
        self.without_faces: list[str] = []
        self._networks = {"network": NetworkUse.of(pipeline)}
        if tracks := NetworkUse.of_tracks(pipeline):
            self._networks[SEVERAL_FRAMES] = tracks
        self._sides, self._min_score = pipeline.session.io_spec.crop_sizes, pipeline.detector.score
        self._notes = (REFERENCES,) if getattr(pipeline.session, "library", None) is not None else ()

    @contextmanager
    def of(self, source: Source) -> Iterator[SourceCards]:
        """Cards of one source; the last one is written at the end of the ``with`` block, also after an error."""
        cards = SourceCards(self, source)
        try:
            yield cards
        except BaseException as error:
            cards.finish(one_line(error) if isinstance(error, FacesrError) else "interrupted")
            raise
        cards.finish("" if source.exhausted or source.kind == "live" else "stopped by the user")

    def lines(self) -> list[str]:
        """Where the cards are, and which inputs have none."""
        lines = []
        if self.written:
            where = f"{self.written[0]}/card.html" if len(self.written) == 1 else str(self.folder)
            signed = ", pictures of the network signed" if self._credentials else ""
            lines.append(f"{plural(len(self.written), 'evidence card')} → {where}{signed}")
        if names := self.without_faces:
            rest = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
            lines.append(f"no evidence card without an upscaled face: {', '.join(names[:MAX_NAMES])}{rest}")
        return lines

    def video_faces(self, name: str) -> VideoFaces:
        """For a video of this name, or the pages of a TIFF."""
        tracked = PurePath(name).suffix.lower() not in (".tif", ".tiff")
        single = self._pipeline.upscale if tracked and SEVERAL_FRAMES in self._networks else None
        return VideoFaces(self._sides, self._min_score, tracked, single)

    def write(self, card: Card, name: str, source: Source, file: Path | None) -> None:
        """Write a card; one without faces is only counted.

        Args:
            card: without networks.
            name: of its folder.
            source: of its frames.
            file: of its frames; None if there is no single one.
        """
        if not card.items:
            self.without_faces.append(card.source.name)
            return
        card = replace(card, networks=self._networks, notes=(*self._notes, *card.notes))
        path = PurePath(name)
        folder = self.folder / safe_name(path.name if path.is_absolute() else name)
        sign = None
        if self._credentials is not None:
            settings = settings_of(self._pipeline, source)
            sign = picture_signer(self._credentials, self._networks["network"], settings, card.source, file)
        files = write_card(folder, card, sign)
        self.written.append(files[0].parent)


class SourceCards:
    """Cards of one source of a run: of a folder, one for each picture.

    Args:
        cards: of the run.
        source: of the frames.
    """

    def __init__(self, cards: RunCards, source: Source) -> None:
        self._cards, self._source = cards, source
        paths = source.images if isinstance(source, FolderSource) else {"": source.path} if source.path else {}
        self._stamps = {name: FileStamp.of(path) for name, path in paths.items()}
        self._name: str | None = None
        self._faces: VideoFaces | None = None
        self._picture: FrameResult | None = None
        self._metadata = ImageMetadata()
        self._frames = self._damaged = 0

    def add(self, result: FrameResult) -> None:
        """Take the faces of the next frame."""
        frame = result.source
        name = frame.name if isinstance(self._source, FolderSource) else ""
        if name != self._name:
            self.finish()
            self._name = name
        if isinstance(self._source, FolderSource):  # the index of a frame in its own file
            result = _from_first(result, frame.index - self._frames)
        self._frames += 1
        self._damaged += frame.damaged
        self._metadata = frame.metadata or self._metadata
        if self._source.kind in ("image", "folder") and frame.pts is None:
            self._picture = result
            return
        self._faces = self._faces or self._cards.video_faces(name or self._source.name)
        self._faces.add(result)

    def finish(self, stopped: str = "") -> None:
        """Write the card of the frames so far; nothing without frames.

        Args:
            stopped: why the run ended before its source; "" if it did not.
        """
        name, picture, faces, frames = self._name, self._picture, self._faces, self._frames
        if name is None:
            return
        notes, metadata = self._notes(name, stopped), self._metadata
        self._name = self._picture = self._faces = None
        self._frames = self._damaged = 0
        self._metadata = ImageMetadata()
        if picture is not None:
            items, views, left_out = picture_faces(picture)
        elif faces is not None:
            items, views, left_out = faces.close()
        else:
            return
        source = self._card_source(name, "video" if picture is None else "picture", metadata)
        icc = metadata.icc if color_space(metadata.icc) == RGB else b""
        card = Card(source, {}, tuple(items), time.time(), frames, tuple(views), tuple(left_out), notes, icc)
        file = self._file(name)
        title = name or (self._source.path.name if self._source.path else self._source.name)
        self._cards.write(card, title, self._source, file if file and file.is_file() else None)

    def _notes(self, name: str, stopped: str) -> tuple[str, ...]:
        """What was lost on reading."""
        source = self._source
        lost = source.notes_of(name) if isinstance(source, FolderSource) else source.notes
        notes = [f"Reading: {note}" for note in lost]
        if self._damaged:
            notes.append(f"The decoder concealed damage in {plural(self._damaged, 'frame')} of {self._frames}.")
        if stopped and self._picture is None:
            notes.append(f"Searched: {plural(self._frames, 'frame')}; the run ended before its source: {stopped}.")
        return tuple(notes)

    def _file(self, name: str) -> Path | None:
        source = self._source
        return source.images[name] if isinstance(source, FolderSource) else source.path

    def _card_source(self, name: str, kind: SourceKind, metadata: ImageMetadata) -> CardSource:
        source = self._source
        if source.kind == "live":
            return CardSource(source.name, "camera", note="a camera: there is no file")
        if isinstance(source, SequenceSource):
            return CardSource(source.name, "video", note="numbered pictures: there is no single file")
        path = self._file(name)
        if path is None:
            return CardSource(source.name, kind, note="not a file of this machine: there is no hash")
        title = str(path) if isinstance(source, FolderSource) else source.name
        return file_source(path, title, kind, self._stamps[name], metadata if kind == "picture" else None)


def _from_first(result: FrameResult, first: int) -> FrameResult:
    """A result with indices of frames from `first` on, those of its file."""
    faces = [
        replace(face, earlier_frames=tuple(index - first for index in face.earlier_frames)) for face in result.faces
    ]
    return replace(result, source=replace(result.source, index=result.source.index - first), faces=tuple(faces))


def picture_faces(result: FrameResult) -> tuple[list[EvidenceItem], list[FrameView], list[LeftOut]]:
    """Faces of a picture, from left to right; its view; and what is left out."""
    ranked = sorted(result.faces, key=lambda face: -face_usability(face).score)
    shown, surplus = ranked[:MAX_FACES], ranked[MAX_FACES:]
    shown.sort(key=lambda face: (float(face.box_xyxy[0]), float(face.box_xyxy[1])))
    items = [item_of(face, result.source, is_picture=True) for face in shown]
    left_out = []
    if surplus:
        left_out.append(LeftOut("less usable faces than those shown", len(surplus), _boxes(surplus)))
    if len(result.too_large):
        boxes = tuple(tuple(map(float, box)) for box in result.too_large.boxes_xyxy)
        left_out.append(LeftOut("faces that are too large for the network, not enlarged", len(boxes), boxes))
    return items, [view_of(result.source)] if items else [], left_out


def _boxes(faces: list[Face]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(map(float, face.box_xyxy)) for face in faces)
