"""Cases of videos and streams."""

from __future__ import annotations

import av
import cv2
import numpy as np
from facesr_edge import load_detector

from ..kept.read_video import read_video
from .workspace import FRAMES, RATE, Measured, Workspace, faces_in, frames_in, packets_of_sound, states


def stream_with_an_offset(space: Workspace) -> Measured:
    """A transport stream that starts at 36,000 s."""
    source = space.video("offset.ts", space.pictures, output_ts_offset="36000")
    output = space.path("offset.mp4")
    space.run(source, "-o", output)
    before, after = read_video(source), read_video(output)
    end = (after.start_ms + after.times_ms[-1]) / 1000 + 1 / RATE
    starts = [contents.sounds[0].start_ms - contents.start_ms for contents in (before, after)]
    apart = abs(starts[0] - starts[1])
    value = f"ends at {end:.2f} s, sound {apart:.1f} ms off, {len(after.frames)} frames"
    return Measured("run t.ts -o t.mp4", value, abs(end - FRAMES / RATE) < 0.1 and apart < 5)


def piped(space: Workspace) -> Measured:
    """Standard input, standard output."""
    source = space.video("piped.mkv", space.pictures)
    read = space.run("/dev/stdin", "-o", space.path("piped-1.mp4"), stdin=source)
    both = space.run("-", "-o", "-", stdin=source)
    space.path("piped-2.bin").write_bytes(both.stdout)
    counts = [frames_in(space.path(name)) for name in ("piped-1.mp4", "piped-2.bin")]
    sounds = [packets_of_sound(space.path(name)) for name in ("piped.mkv", "piped-1.mp4")] if counts[0] else [1, 0]
    value = f"{counts[0]} and {counts[1]} frames, {sounds[1]} of {sounds[0]} packets of sound, "
    value += f"exit {read.code} and {both.code}"
    right = counts == [FRAMES, FRAMES] and sounds[0] == sounds[1]
    return Measured("cat p.mkv | run /dev/stdin -o p.mp4; … run - -o -", value, right)


def pixels_that_are_not_square(space: Workspace) -> Measured:
    """SAR 32:27."""
    outputs = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".gif")
    return states("run …", space.cells(*(("MP4, SAR 32:27", output) for output in outputs)), "pixel aspect ratio")


def durations_of_a_gif(space: Workspace) -> Measured:
    """Durations of 100, 500, 50 and 1000 ms, three repetitions."""
    return states(
        "run …",
        space.cells(("animated GIF", ".gif"), ("animated GIF", ".mp4")),
        "duration",
        "repetitions",
        "timestamps",
    )


def size_that_changes(space: Workspace) -> Measured:
    """Two sizes in one transport stream."""
    cells = space.cells(("TS, other size", ".mp4"), ("TS, restarted clock", ".mp4"))
    return states("run …", cells, "frames", "change of size", "timestamps")


def what_a_container_carries(space: Workspace) -> Measured:
    """Two sounds, subtitles, chapters, tags, flags, attachments."""
    cells = space.cells(*(("MKV, everything", output) for output in (".mkv", ".mp4", ".webm", ".avi")))
    names = ("sound", "languages and flags", "subtitles", "chapters", "tags", "attachments")
    return states("run …", cells, *names)


def high_dynamic_range(space: Workspace) -> Measured:
    """HDR10 and HLG."""
    pairs = [(kind, output) for kind in ("MP4, HDR10", "MKV, HLG") for output in (".mp4", ".mkv", ".webm", ".avi")]
    return states("run …", space.cells(*pairs), "bit depth", "HDR")


def interlaced(space: Workspace) -> Measured:
    """Two fields of successive frames in each frame, top field first."""
    woven = []
    for index in range(0, len(space.pictures) - 1):
        frame = np.array(space.pictures[index])
        frame[1::2] = space.pictures[index + 1][1::2]
        woven.append(frame)
    source = space.path("interlaced.mkv")
    with av.open(str(source), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"flags": "+ildct+ilme", "x264-params": "tff=1"})
        stream.height, stream.width = woven[0].shape[:2]
        for pixels in woven:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "bgr24")))
        container.mux(stream.encode(None))
    found = []
    for path in (source, space.clip):
        space.run(path, "-o", space.path("interlaced-out.mkv"), "--json", space.path("faces.json"))
        found.append(faces_in(space.path("faces.json")))
    done = space.run(source, "-o", space.path("interlaced-out.mkv"))
    noted = any("interlac" in note for note in done.notes)
    pairs = (("MP4, interlaced, top first", ".mp4"), ("MKV, interlaced, bottom first", ".mkv"))
    cells = states("", space.cells(*pairs), "interlacing")
    value = f"{found[0]} faces, {found[1]} where not interlaced; {cells.value}"
    return Measured("run i.mkv -o o.mkv", value, noted and cells.right and found[0] >= 0.9 * found[1])


def variable_rate_to_avi(space: Workspace) -> Measured:
    """Irregular timestamps."""
    cells = space.cells(*(("MKV, variable rate", output) for output in (".avi", ".mp4", ".webm", ".gif")))
    return states("run …", cells, "timestamps", "duration")


def without_an_index(space: Workspace) -> Measured:
    """An MP4 file that was cut before its index."""
    data = space.clip.read_bytes()
    source = space.path("head.mp4")
    source.write_bytes(data[: data.index(b"moov") - 4])
    done = space.run(source, "-o", space.path("head-out.mp4"))
    right = done.code == 1 and any(word in done.last for word in ("cut", "truncated", "incomplete"))
    return Measured("run head.mp4 -o out.mp4", done.last[-150:], right)


def missing_folder_of_json(space: Workspace) -> Measured:
    """A JSON file in a folder that does not exist."""
    done = space.run(space.clip, "--json", space.folder / "nowhere" / "x.json")
    return Measured("run clip.mp4 --json nowhere/x.json", done.last[-150:], "space" not in done.last)


def several_inputs(space: Workspace) -> Measured:
    """Two videos, a pattern, a numbered sequence, a folder of videos."""
    folder = space.path("several/in")
    pictures = space.pictures[:3]
    for name in ("a.mp4", "b.mp4"):
        (folder / name).write_bytes(space.video(f"several-{name}", pictures).read_bytes())
    for index, pixels in enumerate(pictures):
        cv2.imwrite(str(space.path("several/numbered") / f"f_{index:05d}.png"), pixels)
    results = {
        "two": space.run(folder / "a.mp4", folder / "b.mp4", "-o", space.path("several/two")),
        "pattern": space.run(folder / "*.mp4", "-o", space.path("several/pattern")),
        "numbered": space.run(space.folder / "several/numbered/f_%05d.png", "-o", space.path("several/numbered.mp4")),
        "folder": space.run(folder, "-o", space.path("several/folder")),
    }
    counts = {name: len(list(space.path(f"several/{name}").iterdir())) for name in ("two", "pattern", "folder")}
    counts["numbered"] = frames_in(space.path("several/numbered.mp4"))
    expected = {"two": 2, "pattern": 2, "folder": 2, "numbered": 3}
    codes = ", ".join(f"{name} {counts[name]} (exit {done.code})" for name, done in results.items())
    return Measured("run a.mp4 b.mp4; '*.mp4'; f_%05d.png; in/", codes, counts == expected)


def lines_of_json(space: Workspace) -> Measured:
    """--jsonl."""
    output = space.path("lines.jsonl")
    done = space.run(space.clip, "--jsonl", output)
    lines = output.read_text("utf-8").splitlines() if output.is_file() else []
    parsed = [document_line for document_line in lines if document_line.startswith("{") and document_line.endswith("}")]
    return Measured("run clip.mp4 --jsonl x.jsonl", f"{len(parsed)} lines, exit {done.code}", len(parsed) >= FRAMES)


def iterated_detections(space: Workspace) -> Measured:
    """A loop over detections."""
    detect = load_detector(threads=1)
    count = 0
    for _ in detect(space.pictures[0]):
        count += 1
    return Measured("for face in load_detector()(frame)", f"{count} faces", count > 0)
