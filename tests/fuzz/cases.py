"""Cases of every kind: a mutated file, and the command that reads it."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from random import Random

from .isolate import Case
from .mutate import BYTE_MUTATIONS, mutated, mutated_json, mutated_safetensors

ENGINE = ("--engine", "onnxruntime", "--precision", "fp32", "--threads", "1")
NETWORK = ("--model", "edge-nano-x4", *ENGINE)
VIDEO_OUTPUTS = ("mp4", "mp4", "mkv", "mov", "webm", "avi", "gif")
PICTURE_OUTPUTS = ("png", "png", "jpg", "webp", "tif", "bmp")
WEIGHTS = {
    **dict.fromkeys(("picture", "video"), 30), "onnx": 12, "card": 8, "weights": 5, "labels": 4, "library": 4,
    "cache": 2,
}  # fmt: skip
"""Share of each kind in a campaign over all kinds."""


def cases(kind: str, count: int, seed: int, seeds: Path) -> Iterator[Case]:
    """Cases of a kind, or of "all" kinds by their `WEIGHTS`.

    Args:
        kind: key of `PREPARE`, or "all".
        count: number of cases.
        seed: the first case; each case depends on its own seed only.
        seeds: folder of the valid files, a subfolder per kind.
    """
    for folder in seeds.rglob("*"):  # read once, before the processes are forked
        if folder.is_dir():
            _valid(folder)
    for number in range(seed, seed + count):
        chosen = Random(f"kind {number}").choices(list(WEIGHTS), list(WEIGHTS.values()))[0] if kind == "all" else kind
        yield Case(chosen, number, partial(prepare, chosen, number, seeds))


def prepare(kind: str, seed: int, seeds: Path, folder: Path) -> list[str]:
    """Write the input of a case and return the arguments of its command."""
    return PREPARE[kind](Random(f"{kind} {seed}"), seeds / kind, seeds, folder / "work")


@cache
def _valid(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def _mutated_file(rng: Random, seeds: Path) -> tuple[str, bytes]:
    files = _valid(seeds)
    name = rng.choice(list(files))
    if rng.random() < 0.03 or (name.startswith("bomb") and rng.random() < 0.5):
        return name, files[name]
    same = [data for other, data in files.items() if Path(other).suffix == Path(name).suffix]
    return name, mutated(files[name], same, rng)


def _picture(rng: Random, seeds: Path, all_seeds: Path, work: Path) -> list[str]:
    name, data = _mutated_file(rng, seeds)
    suffix = Path(name).suffix if rng.random() < 0.9 else rng.choice((".png", ".jpg", ".tif", ".webp", ".mp4"))
    path = work / "in" / f"a{suffix}"
    path.write_bytes(data)
    output = f"out/o.{rng.choice(PICTURE_OUTPUTS)}"
    if rng.random() < 0.15:  # with a valid picture beside it
        (work / "in/b.png").write_bytes(_valid(seeds)["plain.png"])
        return ["run", "in", "-o", "out/folder", *NETWORK]
    if rng.random() < 0.1:
        return ["run", str(path.relative_to(work)), "--json", "out/faces.json", *NETWORK]
    return ["run", str(path.relative_to(work)), "-o", output, *NETWORK, "--outscale", rng.choice("112")]


def _video(rng: Random, seeds: Path, all_seeds: Path, work: Path) -> list[str]:
    name, data = _mutated_file(rng, seeds)
    path = work / "in" / name
    path.write_bytes(data)
    source = ["run", f"in/{name}", *NETWORK, "--outscale", "1"]
    if rng.random() < 0.2:
        return [*source, "--json", "out/faces.json"]
    output = rng.choice(VIDEO_OUTPUTS)
    preset = ["--preset", "ultrafast"] if output in ("mp4", "mkv", "mov") else []
    return [*source, "-o", f"out/o.{output}", *preset]


def _frame(all_seeds: Path, work: Path) -> str:
    (work / "in/frame.png").write_bytes(_valid(all_seeds / "picture")["plain.png"])
    return "in/frame.png"


def _onnx(rng: Random, seeds: Path, all_seeds: Path, work: Path) -> list[str]:
    """A mutated graph: a YuNet file, or in a bundle whose card has its hash."""
    files = _valid(seeds)
    name = rng.choice(("network.onnx", "detector.onnx", "yunet.onnx", "yunet.onnx"))
    data = mutated(files[name], list(files.values()), rng)
    command = ["run", _frame(all_seeds, work), "-o", "out/o.png", "--outscale", "1"]
    if name == "yunet.onnx":
        (work / "in/yunet.onnx").write_bytes(data)
        return [*command, *NETWORK, "--detector", "in/yunet.onnx"]
    card = json.loads(_valid(all_seeds / "card")[f"{'edge-nano-x4' if name[0] == 'n' else 'detector'}.json"])
    card["files"] = {"model.onnx": hashlib.sha256(data).hexdigest()}
    _bundle(work / "in/bundle", json.dumps(card).encode(), data)
    engine = rng.choice(("onnxruntime", "onnxruntime", "openvino"))
    options = ["--engine", engine, "--precision", "fp32", "--threads", "1"]
    if name == "detector.onnx":
        return [*command, "--model", "edge-nano-x4", "--detector", "in/bundle", *options]
    return [*command, "--model", "in/bundle", *options]


def _bundle(folder: Path, card: bytes, graph: bytes) -> None:
    folder.mkdir()
    (folder / "card.json").write_bytes(card)
    (folder / "model.onnx").write_bytes(graph)


def _card(rng: Random, seeds: Path, all_seeds: Path, work: Path) -> list[str]:
    name = rng.choice(("edge-nano-x4", "detector"))
    graph = _valid(all_seeds / "onnx")["network.onnx" if name[0] == "e" else "detector.onnx"]
    card = json.loads(_valid(seeds)[f"{name}.json"])
    if rng.random() < 0.7:
        card = {**card, "files": {"model.onnx": card["files"]["model.onnx"]}}
    if rng.random() < 0.3:
        card = {**card, "engine": None}
    _bundle(work / "in/bundle", mutated_json(json.dumps(card), rng), graph)
    choice = rng.random()
    if choice < 0.45:
        return ["inspect", "in/bundle", *(["--json"] if rng.random() < 0.3 else [])]
    if choice < 0.55:
        return ["build", "in/bundle", "-o", "out/built", "--engine", "onnxruntime"]
    run = ["run", _frame(all_seeds, work), "-o", "out/o.png", "--outscale", "1", *ENGINE]
    return [*run, "--model", "in/bundle"] if name[0] == "e" else [*run, *NETWORK[:2], "--detector", "in/bundle"]


def _weights(rng: Random, seeds: Path, all_seeds: Path, work: Path) -> list[str]:
    files = _valid(seeds)
    name = rng.choice(("idrn.safetensors", "idrn.safetensors", *files))
    data = mutated_safetensors(files[name], rng) if name.endswith(".safetensors") else mutated(files[name], [], rng)
    (work / "in" / name).write_bytes(data)
    if rng.random() < 0.1:
        (work / "in/faces").mkdir()
        for number in range(2):
            shutil.copy(all_seeds / f"library/faces/{number}.png", work / "in/faces")
        train = ["train", "--model", "idrn", "--faces", "in/faces", "--init-weights", f"in/{name}", "-o", "out/trained"]
        return [*train, "--depth", "1", "--width", "8", "--steps", "1", "--batch", "1", "--threads", "1"]
    sizes = ["--depth", "1", "--width", "8", "--scale", "3"]  # weights of scale 4: the export takes seconds
    return ["build", "--model", "idrn", "--weights", f"in/{name}", *sizes, "-o", "out/built", "--no-compile"]


def _labels(rng: Random, seeds: Path, all_seeds: Path, work: Path) -> list[str]:
    files = _valid(seeds)
    mutate_fixes = rng.random() < 0.3
    for name, data in files.items():
        changed = (name == "fixes.json") == mutate_fixes
        (work / "in" / name).write_bytes(mutated_json(data.decode(), rng) if changed else data)
    (work / "in/images").mkdir()
    for name in ("portrait_0.png", "scene_1.png", "scene_2.png"):
        (work / "in/images" / name).write_bytes(_valid(all_seeds / "picture")["plain.png"])
    if rng.random() < 0.2:
        train = ["train", "--model", "detector", "--faces", "in", "--steps", "1", "--batch", "1", "--threads", "1"]
        return [*train, "-o", "out/trained"]
    evaluate = ["eval", "--detection-data", "in", "--label-fixes", "in/fixes.json", "--engine", "onnxruntime"]
    outputs = ["--error-sheet", "out/errors.png", "--json", "out/o.json"] if rng.random() < 0.2 else []
    return [*evaluate, "--threads", "1", *outputs]


def _library(rng: Random, seeds: Path, all_seeds: Path, work: Path) -> list[str]:
    files = _valid(seeds / "library")
    chosen = rng.choice(("library.json", "library.json", *files))
    (work / "in/library").mkdir()
    for name, data in files.items():
        if name == chosen:
            data = mutated_json(data.decode(), rng) if name.endswith(".json") else _mutated_array(data, rng)
        (work / "in/library" / name).write_bytes(data)
    if rng.random() < 0.6:
        return ["references", "inspect", "in/library", *(["--json"] if rng.random() < 0.3 else [])]
    use = ["--model", "msrnet-x8", "--references", "in/library", "--threads", "1"]
    return ["run", _frame(all_seeds, work), "-o", "out/o.png", "--outscale", "1", *use]


def _mutated_array(data: bytes, rng: Random) -> bytes:
    """A ``.npy`` file with its header, or its first bytes, changed."""
    head, rest = data[:128], data[128:]
    if rng.random() < 0.5:
        shapes = ("(2, -1, 9)", "(99999999999, 64, 72)", "()", "(2,)", "(0, 0, 0)", "('a',)", "(2, 64, 10**9)")
        text = head.decode("latin-1")
        start = text.find("(")
        changed = text[:start] + rng.choice(shapes) + text[text.find(")") + 1 :]
        if rng.random() < 0.3:
            changed = changed.replace("<f2", rng.choice(("|O", "<f8", ">f2", "<U4", "|V2")))
        return changed.ljust(128)[:128].encode("latin-1") + rest
    return rng.choice(BYTE_MUTATIONS)(head, rng, []) + rest if rng.random() < 0.7 else data[: rng.randrange(len(data))]


def _cache(rng: Random, seeds: Path, all_seeds: Path, work: Path) -> list[str]:
    """The user's cache after a first run, one of its files mutated."""
    cache_home = work.parent / "home/.cache/facesr-edge"
    shutil.copytree(seeds / "facesr-edge", cache_home)
    changed = rng.choice(sorted(path for path in cache_home.rglob("*") if path.is_file()))
    data = changed.read_bytes()
    if changed.suffix == ".json":
        changed.write_bytes(mutated_json(data.decode(), rng))
    else:
        changed.write_bytes(rng.choice(BYTE_MUTATIONS)(data, rng, []))
    engine = rng.choice(("auto", "openvino"))
    run = ["run", _frame(all_seeds, work), "-o", "out/o.png", "--outscale", "1"]
    return [*run, "--model", "edge-nano-x4", "--engine", engine, "--threads", "1"]


PREPARE: dict[str, Callable[[Random, Path, Path, Path], list[str]]] = {
    "picture": _picture,
    "video": _video,
    "onnx": _onnx,
    "card": _card,
    "weights": _weights,
    "labels": _labels,
    "library": _library,
    "cache": _cache,
}
"""Kind -> function of a random generator, the seeds of the kind, those of all kinds and the working folder."""
