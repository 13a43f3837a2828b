"""A small archive, and what `run` makes of it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from support.archives import FRAMES, SPEC, write_video


@pytest.fixture(scope="session")
def archive(tmp_path_factory, put_face):
    """Folder with two pictures, one of them in a subfolder, and a video of three chunks."""
    folder = tmp_path_factory.mktemp("archive")
    (folder / "door").mkdir()
    wall = np.full((120, 160, 3), 96, np.uint8)
    for name, x in (("lobby.png", 20), ("door/night.jpg", 60)):
        picture = wall.copy()
        put_face(picture, x, 20, 30)
        cv2.imwrite(str(folder / name), picture)

    def pictures():
        for index in range(FRAMES):
            picture = np.full((96, 96, 3), 80 + index % 40, np.uint8)
            if index % 50 < 5:
                put_face(picture, index % 7, 10, 28)
            yield picture

    write_video(folder / "door" / "clip.mp4", pictures())
    return folder


@pytest.fixture(scope="session")
def reference(archive, tmp_path_factory):
    """What `run` makes of the archive with one thread."""
    from facesr_edge.sdk.media.encode_options import EncodeOptions
    from facesr_edge.sdk.media.sinks import open_sink
    from facesr_edge.sdk.media.sources import open_source
    from facesr_edge.sdk.pipeline.run import run

    folder = tmp_path_factory.mktemp("reference")
    with SPEC.load() as pipeline:
        for path in sorted(archive.rglob("*.*")):
            target = folder / path.relative_to(archive)
            with (
                open_source(path, threads=1) as source,
                open_sink(target, source, outscale=2, options=EncodeOptions(threads=1)) as sink,
                run(pipeline, source, sink) as results,
            ):
                list(results)
    return folder
