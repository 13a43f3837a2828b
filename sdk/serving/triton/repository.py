"""Write a model repository of Triton Inference Server."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ....engines.bundle.bundle import Bundle
from ....engines.errors import InputError, OutputError, UsageError
from ....engines.files import sync, write_atomic
from ....zoo.catalogue import DEFAULT_SCORE
from ...pipeline.pipeline import OUTSCALES
from ...pipeline.tiling import MIN_FACE, check_min_face
from .config import CONFIG, ServingOptions, interface, network_config, parse_config, pipeline_config
from .faces_model import DETECTOR_CARD, INPUTS, NETWORK_CARD, OUTPUTS
from .layout import MODEL_FILES, Backend, TritonModel, models_of
from .session import ServedModel

FACES_SUFFIX = "-faces"
"""Of the name of the model that takes frames."""
MODEL_PY = '''"""A frame in, faces out; needs facesr-edge in the Python of the server."""

from facesr_edge.sdk.serving.triton.faces_model import TritonPythonModel as TritonPythonModel
'''


@dataclass(frozen=True)
class FacesOptions:
    """Options of the model that takes frames.

    Args:
        outscale: ratio of the composite's size to the frame's, 1 to 4.
        min_face: side of the smallest face of interest, pixels.
        score: minimum score of the detector, 0..1.
    """

    outscale: int = 2
    min_face: float = MIN_FACE
    score: float = DEFAULT_SCORE

    def __post_init__(self) -> None:
        check_min_face(self.min_face)
        if self.outscale not in OUTSCALES:
            raise UsageError(f"outscale is {self.outscale}, expected one of {', '.join(map(str, OUTSCALES))}")
        if not 0 <= self.score <= 1:
            raise UsageError(f"score is {self.score}, expected 0 to 1")


@dataclass(frozen=True)
class Exported:
    """One model of the repository.

    Args:
        name: of the model.
        version: that was written, from 1.
        backend: that runs it.
    """

    name: str
    version: int
    backend: str


@dataclass(frozen=True, eq=False)
class _Draft:
    """A model before it is written: its configuration, and the files of its version."""

    name: str
    backend: str
    config: str
    files: dict[str, bytes]


def export_repository(
    bundles: Sequence[Bundle],
    folder: Path,
    *,
    detector: Bundle | None = None,
    backend: Backend = "onnxruntime",
    precision: str = "auto",
    max_batch: int = 8,
    options: ServingOptions | None = None,
    faces: FacesOptions | None = None,
    add_version: bool = False,
) -> tuple[Exported, ...]:
    """Write bundles as models of a repository.

    Each bundle becomes a model, or with "tensorrt" one for each size. With a detector, each network that needs no
    references also gets a model "NAME-faces" that takes frames, see `OUTPUTS` of faces_model.py.

    Nothing is written unless everything can be: the models are completed beside the repository and renamed into it, the
    networks before the models that call them. Other models of the repository stay as they are.

    Args:
        bundles: super-resolution networks.
        folder: of the repository; created if it is missing.
        detector: a face detector; None for no models that take frames.
        backend, precision, max_batch: see `models_of`. With "auto" the detector gets its card's precision too.
        options: how Triton runs the models.
        faces: of the models that take frames.
        add_version: add a version to models that the repository has already, of the same inputs and outputs, unless
            their newest version is the same; otherwise they are an error.

    Returns:
        The models, in the order of writing, with their newest version.

    Raises:
        UsageError: no bundle, the same name twice, or see `models_of`.
        OutputError: a model exists, has other inputs or outputs, or cannot be written.
        Others: see `models_of`.
    """
    options, faces = options or ServingOptions(), faces or FacesOptions()
    drafts = list(_drafts(bundles, detector, backend, precision, max_batch, options, faces))
    names = [draft.name for draft in drafts]
    if not drafts:
        raise UsageError("expected at least one network or detector to export")
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"{repeated[0]} is exported twice; give bundles of different names")
    versions = [_next_version(folder / draft.name, draft, add_version) for draft in drafts]
    written = [
        pair for pair in zip(drafts, versions, strict=True) if not (folder / pair[0].name / str(pair[1])).exists()
    ]
    try:
        _write(folder, written)
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(
            f"cannot write {folder}: {reason}; free some space or choose another folder with -o"
        ) from None
    return tuple(Exported(draft.name, version, draft.backend) for draft, version in zip(drafts, versions, strict=True))


def _drafts(
    bundles: Sequence[Bundle],
    detector: Bundle | None,
    backend: Backend,
    precision: str,
    max_batch: int,
    options: ServingOptions,
    faces: FacesOptions,
) -> Iterator[_Draft]:
    """The models in the order of writing: those that take frames last."""
    served: dict[int, ServedModel] = {}
    every = [*bundles, *([detector] if detector else [])]
    if detector and detector.card.io_spec.task != "face-detection":
        raise UsageError(f"expected a face detector, {detector.card.name} is for {detector.card.io_spec.task}")
    for index, bundle in enumerate(every):
        own = precision if precision in ("auto", *bundle.precisions) or bundle is not detector else "auto"
        models = models_of(bundle, backend, own, max_batch)
        served[index] = _served(bundle, models, bundle.card.precision if own == "auto" else own)
        for model in models:
            yield _Draft(
                model.name, backend, network_config(model, options), {MODEL_FILES[model.backend]: model.content}
            )
    for index, bundle in enumerate(bundles if detector else ()):
        io_spec = bundle.card.io_spec
        if detector and io_spec.task == "super-resolution" and not io_spec.references:
            yield _faces_draft(bundle, detector, served[index], served[len(bundles)], options, faces)


def _served(bundle: Bundle, models: Sequence[TritonModel], precision: str) -> ServedModel:
    first = models[0]
    return ServedModel(
        bundle.card.name,
        is_sized=first.backend == "tensorrt",
        input=first.tensors.inputs[0].name,
        outputs=tuple(spec.name for spec in first.tensors.outputs),
        max_batch=max(model.max_batch for model in models),
        precision=precision,
        backend=first.backend,
    )


def _faces_draft(
    bundle: Bundle,
    detector: Bundle,
    network_model: ServedModel,
    detector_model: ServedModel,
    options: ServingOptions,
    faces: FacesOptions,
) -> _Draft:
    parameters = {
        "network_model": json.dumps(network_model.to_dict()),
        "detector_model": json.dumps(detector_model.to_dict()),
        "outscale": str(faces.outscale),
        "min_face": str(faces.min_face),
        "score": str(faces.score),
    }
    name = f"{bundle.card.name}{FACES_SUFFIX}"
    cards = {NETWORK_CARD: bundle.card.to_json().encode(), DETECTOR_CARD: detector.card.to_json().encode()}
    config = pipeline_config(name, INPUTS, OUTPUTS, parameters, options)
    return _Draft(name, "python", config, {"model.py": MODEL_PY.encode(), **cards})


def _next_version(folder: Path, draft: _Draft, add_version: bool) -> int:
    """Number of the version to write, or of the newest one if it is the same.

    Raises:
        OutputError: the model exists and no version may be added, or it has other inputs or outputs.
    """
    if not folder.exists():
        return 1
    if not add_version:
        raise OutputError(f"{folder} exists; choose another folder with -o, or add a version with --add-version")
    path = folder / CONFIG
    try:
        old = interface(parse_config(path.read_text("utf-8"), str(path)))
    except (OSError, UnicodeDecodeError, InputError) as error:
        raise OutputError(f"{folder} is not a model of Triton: {error}; choose another folder with -o") from None
    if old != interface(parse_config(draft.config, str(path))):
        raise OutputError(
            f"{folder} has other inputs, outputs, batches or another backend, on which its clients depend; "
            "choose another folder with -o"
        )
    newest = max((int(path.name) for path in folder.iterdir() if path.name.isdecimal()), default=0)
    return newest if newest and _is_same(folder, newest, draft) else newest + 1


def _is_same(folder: Path, version: int, draft: _Draft) -> bool:
    """Whether a version has the files and the configuration of a draft."""
    files = {folder / str(version) / name: content for name, content in draft.files.items()}
    files[folder / CONFIG] = draft.config.encode()
    return all(path.is_file() and path.read_bytes() == content for path, content in files.items())


def _write(folder: Path, drafts: Sequence[tuple[_Draft, int]]) -> None:
    """Complete all models, with their versions, in a temporary folder beside the repository and move them into it."""
    is_new = not folder.exists()
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".", suffix=".part", dir=folder.parent))
    try:
        for draft, version in drafts:
            model = temporary / draft.name
            (model / str(version)).mkdir(parents=True)
            for name, content in draft.files.items():
                write_atomic(model / str(version) / name, content)
            write_atomic(model / CONFIG, draft.config.encode())
        temporary.chmod(0o755)  # that of a folder made with mkdir, for the user that the server runs as
        if is_new:
            temporary.replace(folder)
            sync(folder.parent)
            return
        with _undone_on_error() as moved:
            for draft, version in drafts:
                _move(temporary / draft.name, folder / draft.name, version, moved)
        sync(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def _undone_on_error() -> Iterator[list[Path]]:
    """List of folders that were moved to their place; after an error they are removed."""
    moved: list[Path] = []
    try:
        yield moved
    except BaseException:
        for path in moved:
            shutil.rmtree(path, ignore_errors=True)
        raise


def _move(source: Path, target: Path, version: int, moved: list[Path]) -> None:
    """Move a new model, or the version of a known one. The configuration follows: a server that polls needs both."""
    if not target.exists():
        source.replace(target)
        moved.append(target)
        return
    (source / str(version)).replace(target / str(version))
    moved.append(target / str(version))
    with suppress(FileNotFoundError):
        (source / CONFIG).replace(target / CONFIG)
