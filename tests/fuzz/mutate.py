"""Mutations of valid files: of bytes, of the parts of a format, and of JSON values; each is a function of a seed."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from .parts import Part, parts_of, with_checksums

MAX_BYTES = 1 << 20
"""Mutations do not make a file longer than this, nor longer than twice its seed."""
INTERESTING = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def mutated(seed: bytes, others: Sequence[bytes], rng: Random) -> bytes:
    """A file with one to four mutations.

    Args:
        seed: a valid file.
        others: files to take parts from.
        rng: source of every choice.
    """
    data, limit = seed, max(MAX_BYTES, 2 * len(seed))
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
        known = parts_of(data)
        if known and rng.random() < 0.7:
            data = rng.choice(PART_MUTATIONS)(data, known, rng, others)
        else:
            data = rng.choice(BYTE_MUTATIONS)(data, rng, others)
        data = data[:limit]
    return with_checksums(data) if rng.random() < 0.85 else data


def _flip_bits(data: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8, 64))):
        if changed:
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _truncate(data: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _random_bytes(data: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    start, size = rng.randrange(len(data) + 1), rng.choice((1, 4, 16, 256))
    return data[:start] + rng.randbytes(size) + data[start + size :]


def _repeat(data: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    start = rng.randrange(len(data) + 1)
    stop = min(len(data), start + rng.choice((4, 64, 1024)))
    return data[:stop] + data[start:stop] * rng.choice((1, 3, 50)) + data[stop:]


def _remove(data: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    start = rng.randrange(len(data) + 1)
    return data[:start] + data[start + rng.choice((1, 4, 64, 1024)) :]


def _splice(data: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    other = rng.choice(others) if others else data
    return data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other) + 1) :]


def _number(data: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    return _with_number(data, 0, min(len(data), rng.choice((64, 512, len(data)))), rng)


def _append(data: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    return data + rng.randbytes(rng.choice((1, 100, 5000)))


def _with_number(data: bytes, start: int, stop: int, rng: Random) -> bytes:
    width = rng.choice((1, 2, 4, 8))
    if stop - start < width:
        return data
    at, value = rng.randrange(start, stop - width + 1), rng.choice(INTERESTING) & ((1 << 8 * width) - 1)
    return data[:at] + value.to_bytes(width, rng.choice(("big", "little"))) + data[at + width :]


BYTE_MUTATIONS: tuple[Callable[[bytes, Random, Sequence[bytes]], bytes], ...] = (
    *(_flip_bits, _flip_bits, _truncate, _random_bytes, _repeat, _remove, _splice, _number, _number, _append),
)


def _resized(data: bytes, parts: Sequence[Part], start: int, stop: int, content: bytes, rng: Random) -> bytes:
    """Replace a range; mostly, the lengths of the parts around it are corrected."""
    changed = bytearray(data)
    if rng.random() < 0.85:
        for part in parts:
            if part.length and part.start <= start and stop <= part.end and part.payload <= start:
                size = part.end - part.start + len(content) - (stop - start)
                part.length.write(changed, size - part.length.bias)
    changed[start:stop] = content
    return bytes(changed)


def _delete_part(data: bytes, parts: Sequence[Part], rng: Random, others: Sequence[bytes]) -> bytes:
    part = rng.choice(parts)
    return _resized(data, parts, part.start, part.end, b"", rng)


def _duplicate_part(data: bytes, parts: Sequence[Part], rng: Random, others: Sequence[bytes]) -> bytes:
    part = rng.choice(parts)
    copies = rng.choice((1, 1, 2, 20)) if part.end - part.start < 4096 else 1
    return _resized(data, parts, part.end, part.end, data[part.start : part.end] * copies, rng)


def _swap_parts(data: bytes, parts: Sequence[Part], rng: Random, others: Sequence[bytes]) -> bytes:
    first, second = sorted((rng.choice(parts), rng.choice(parts)), key=lambda part: part.start)
    if first.end > second.start:
        return data
    a, b = data[first.start : first.end], data[second.start : second.end]
    return data[: first.start] + b + data[first.end : second.start] + a + data[second.end :]


def _wrong_length(data: bytes, parts: Sequence[Part], rng: Random, others: Sequence[bytes]) -> bytes:
    with_length = [part.length for part in parts if part.length]
    if not with_length:
        return _part_number(data, parts, rng, others)
    field, changed = rng.choice(with_length), bytearray(data)
    field.write(changed, rng.choice((*INTERESTING, 1 << 62, (1 << 64) - 1, len(data), rng.randrange(64))))
    return bytes(changed)


def _part_number(data: bytes, parts: Sequence[Part], rng: Random, others: Sequence[bytes]) -> bytes:
    part = rng.choice(parts)
    return _with_number(data, part.payload, min(part.end, part.payload + 64), rng)


def _part_bits(data: bytes, parts: Sequence[Part], rng: Random, others: Sequence[bytes]) -> bytes:
    part = rng.choice(parts)
    content = _flip_bits(data[part.payload : part.end], rng, others)
    return data[: part.payload] + content + data[part.end :]


def _other_content(data: bytes, parts: Sequence[Part], rng: Random, others: Sequence[bytes]) -> bytes:
    part, source = rng.choice(parts), rng.choice((data, *others))
    found = parts_of(source)
    donor = rng.choice(found) if found else Part(0, 0, len(source))
    return _resized(data, parts, part.payload, part.end, source[donor.payload : donor.end][:65536], rng)


def _insert_part(data: bytes, parts: Sequence[Part], rng: Random, others: Sequence[bytes]) -> bytes:
    part, source = rng.choice(parts), rng.choice((data, *others))
    found = parts_of(source)
    donor = rng.choice(found) if found else part
    return _resized(data, parts, part.start, part.start, source[donor.start : donor.end][:65536], rng)


def _other_size(data: bytes, parts: Sequence[Part], rng: Random, others: Sequence[bytes]) -> bytes:
    part = rng.choice(parts)
    content = data[part.payload : part.end]
    content = content + rng.randbytes(rng.choice((1, 16, 4096))) if rng.random() < 0.5 else _truncate(content, rng, [])
    return _resized(data, parts, part.payload, part.end, content, rng)


def _other_kind(data: bytes, parts: Sequence[Part], rng: Random, others: Sequence[bytes]) -> bytes:
    """The tag of a part, which lies before or after its length, replaced by that of another."""
    part, donor = rng.choice(parts), rng.choice(parts)
    width = min(8, part.payload - part.start, donor.payload - donor.start)
    return data[: part.start] + data[donor.start : donor.start + width] + data[part.start + width :]


PART_MUTATIONS: tuple[Callable[[bytes, Sequence[Part], Random, Sequence[bytes]], bytes], ...] = (
    *(_delete_part, _duplicate_part, _swap_parts, _wrong_length, _wrong_length, _part_number, _part_number, _part_bits),
    *(_part_bits, _other_content, _insert_part, _other_size, _other_kind),
)

VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 7, 0.5, -0.5, 1e308, 1e-308, 2**31, 2**63, 2**64, 10**30, -(2**63)),
    *("", "a", "\x1b[31mred\x1b[0m", "line\nline", "\x00", "é猫", "x" * 100_000, "../../../etc/passwd", "/etc/passwd"),
    *("C:\\x", "nan", "\ud800", "[bold]x[/bold]", [], {}, [[]], [None], {"": None}, [0] * 1000, [[1, 2], [3, 4]]),
)
RAW = ("NaN", "Infinity", "-Infinity", "1e999", "9" * 5000, "[" * 100_000, '{"a":' * 50_000, "[" * 900 + "]" * 900)
"""Texts that replace a value and that `json.dumps` does not write."""


def mutated_json(text: str, rng: Random) -> bytes:
    """A JSON document with one to three of its values changed, or with its bytes mutated."""
    if rng.random() < 0.15:
        return rng.choice(BYTE_MUTATIONS)(text.encode(), rng, [])
    document, raw = json.loads(text), ""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        document = mutated_value(document, rng)
    if rng.random() < 0.15:
        document, raw = _replaced(document, rng.choice(list(_paths(document))), "@raw@"), rng.choice(RAW)
    return json.dumps(document).replace('"@raw@"', raw).encode("utf-8", "surrogatepass")


def mutated_value(document: Any, rng: Random) -> Any:
    """A JSON document with one value replaced, removed, repeated or renamed."""
    paths = list(_paths(document))
    path = rng.choice(paths)
    choice = rng.random()
    if choice < 0.6 or not path:
        return _replaced(document, path, rng.choice(VALUES))
    if choice < 0.7:
        return _replaced(document, path, _at(document, rng.choice(paths)))
    parent = _at(document, path[:-1])
    if isinstance(parent, dict):
        rest = {key: value for key, value in parent.items() if key != path[-1]}
        if choice > 0.9:
            rest[rng.choice(("", "x", "__class__", "é\x1b"))] = parent[path[-1]]
        return _replaced(document, path[:-1], rest)
    index = int(path[-1])
    copies = rng.choice((0, 2, 3))
    return _replaced(document, path[:-1], parent[:index] + parent[index : index + 1] * copies + parent[index + 1 :])


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Any:
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from _paths(item, (*path, key))


def _at(document: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        document = document[key]
    return document


def _replaced(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    copy = dict(document) if isinstance(document, dict) else list(document)
    copy[path[0]] = _replaced(copy[path[0]], path[1:], value)
    return copy


def mutated_safetensors(data: bytes, rng: Random) -> bytes:
    """A safetensors file with its length field, its header or its bytes changed."""
    size = int.from_bytes(data[:8], "little")
    choice = rng.random()
    if choice < 0.15:
        return struct.pack("<Q", rng.choice((0, 1, size - 1, size + 1, 1 << 27, 1 << 60, (1 << 64) - 1))) + data[8:]
    if choice < 0.3:
        return rng.choice(BYTE_MUTATIONS)(data, rng, [])
    header = json.loads(data[8 : 8 + size])
    if choice < 0.6 and "__metadata__" in header:
        key = rng.choice(list(header["__metadata__"]))
        text = header["__metadata__"][key]
        changed = mutated_json(text, rng).decode("utf-8", "replace") if text[:1] in '{["' else rng.choice(VALUES)
        header["__metadata__"][key] = changed
        new = json.dumps(header).encode("utf-8", "surrogatepass")
    else:
        new = mutated_json(json.dumps(header), rng)
    return struct.pack("<Q", len(new)) + new + data[8 + size :]


def deflate_bomb(size: int) -> bytes:
    """Zlib data of `size` zeros, about a thousandth as long."""
    compressor = zlib.compressobj(9)
    block = bytes(1 << 20)
    return b"".join(compressor.compress(block) for _ in range(size >> 20)) + compressor.flush()
