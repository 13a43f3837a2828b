"""The cases, and the right value of each."""

from __future__ import annotations

from collections.abc import Callable

from . import faults, pictures, videos
from .workspace import Measured, Workspace

CASES: dict[str, tuple[str, Callable[[Workspace], Measured]]] = {
    "transport stream that starts at 36,000 s": ("3 s, sound in step", videos.stream_with_an_offset),
    "two runs, one output": ("the second is refused", faults.two_runs_one_output),
    "pipe": ("all frames, sound; - understood", videos.piped),
    "pixels that are not square": ("32:27 in every container, or a note", videos.pixels_that_are_not_square),
    "durations and repetitions of a GIF": ("1.65 s, 3 repetitions", videos.durations_of_a_gif),
    "size or clock that changes": ("all frames, scaled to the first size, a note", videos.size_that_changes),
    "device full": ("says the number that is readable; only journals stay", faults.device_full),
    "broken file in a folder": ("the rest is written, broken ones are named, exit 1", pictures.broken_file_in_a_folder),
    "kinds that are skipped": ("read where a library can, else named; --recursive", pictures.kinds_that_are_skipped),
    "alpha": ("kept and enlarged, no color from under it", pictures.alpha_of_a_png),
    "color profile, EXIF, place": (
        "kept, orientation reset; --strip-metadata removes them",
        pictures.profile_and_tags,
    ),
    "several pictures in a file": ("all of them, or a note", pictures.several_pictures_in_a_file),
    "what a container carries": ("copied, or a note each", videos.what_a_container_carries),
    "HDR10, HLG": ("10 bits and metadata, or a note", videos.high_dynamic_range),
    "face larger than the largest crop": ("named in the summary", pictures.large_face),
    "long name": ("written", pictures.long_name),
    "interlaced": ("deinterlaced before detection, a note", videos.interlaced),
    "killed and resumed": ("all frames equal to those of a run that was not stopped", faults.killed_and_resumed),
    "stopped: JSON": ("parses, with the frames of the video", faults.stopped_json),
    "JSON lines": ("a line for each frame", videos.lines_of_json),
    "variable rate": ("within half a frame, or a note", videos.variable_rate_to_avi),
    "quality options, 16 bits": ("there; 16 bits kept", pictures.quality_options),
    "incomplete JPEG": ("half a picture is an error, a missing end marker is not", pictures.incomplete_jpeg),
    "MP4 without index": ("an error that says that it is cut short", videos.without_an_index),
    "JSON in a missing folder": ("an error that does not blame the space", videos.missing_folder_of_json),
    "detections in a loop": ("faces", videos.iterated_detections),
    "oversized picture": ("refused before any work", pictures.oversized_output),
    "several inputs": ("all of them", videos.several_inputs),
}
"""Case -> right value, and the function that measures it."""
