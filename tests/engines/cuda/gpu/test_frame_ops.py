"""The frame's stages by the real kernels against the same stages by numpy and OpenCV, over random layouts of faces."""

import resource

import numpy as np
import pytest
from facesr_edge.engines.bundle.io_spec import CROP_SIZES
from facesr_edge.engines.cuda.frame_ops import COLOURS, FrameOps, Nv12
from facesr_edge.engines.errors import EngineError
from facesr_edge.networks.layers.bicubic import resize_batch
from facesr_edge.sdk.pipeline.crop import Window, crops_of
from facesr_edge.sdk.pipeline.paste import FEATHER, enlarge, paste
from facesr_edge.sdk.pipeline.results import Face

ROUNDS, LAYOUTS = 10, 100
"""A thousand layouts in all."""


def stages_of(gpu):
    """The stages on a stream of their own, or a skip where their compiler is missing."""
    stream = gpu.stream()
    try:
        return FrameOps(gpu, stream), stream
    except EngineError as error:
        if "no NVRTC here" in str(error) or "nvcc" in str(error):
            pytest.skip(str(error))
        raise


def uploaded(gpu, stream, host, gap=0):
    """An array on the GPU; with a gap of so many bytes behind each row."""
    host = np.ascontiguousarray(host)
    if not gap:
        array = gpu.empty(host.shape, host.dtype)
        gpu.upload(host, array, stream)
        return array
    rows = np.zeros((len(host), host[0].nbytes + gap), np.uint8)
    rows[:, :-gap] = host.reshape(len(host), -1)
    whole = uploaded(gpu, stream, rows)
    strides = (rows.shape[1], *host.strides[1:])
    shown = {**whole.__cuda_array_interface__, "shape": host.shape, "strides": strides, "stream": None}
    return gpu.view(type("Surface", (), {"__cuda_array_interface__": shown, "whole": whole})())


def fetched(gpu, stream, array):
    host = np.empty(array.shape, array.dtype)
    gpu.download(array, host, stream)
    stream.synchronize()
    return host


def noise(rng, height, width):
    """A frame of coarse blots, with fine noise over half of it: edges, clipped values and flat parts."""
    coarse = rng.integers(-40, 300, (-(-height // 9), -(-width // 9), 3)).repeat(9, 0).repeat(9, 1)[:height, :width]
    fine = rng.integers(-60, 60, (height, width, 3)) * (rng.random((height, width, 1)) < 0.5)
    return np.clip(coarse + fine, 0, 255).astype(np.uint8)


def layout(rng, most=160):
    """A frame's size, often smaller than a window, and up to six windows in it, at its edges and across them."""
    height, width = (int(v) for v in rng.integers(4, most, 2))
    windows = []
    for _ in range(rng.integers(1, 7)):
        side = int(rng.choice(CROP_SIZES))
        x, y = (int(rng.integers(1 - side, length)) for length in (width, height))
        if rng.random() < 0.5:  # as the crop stage places it
            x, y = (
                (length - side) // 2 if length < side else min(max(at, 0), length - side)
                for at, length in ((x, width), (y, height))
            )
        windows.append(Window(x, y, side))
    return height, width, windows


def farthest(one, other):
    return int(np.abs(one.astype(int) - other.astype(int)).max())


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_gathered_windows_are_the_crops(gpu, seed):
    stages, stream = stages_of(gpu)
    rng = np.random.default_rng(seed)
    for _ in range(LAYOUTS):
        height, width, windows = layout(rng)
        frame = noise(rng, height, width)
        there = uploaded(gpu, stream, frame, gap=int(rng.integers(0, 2) * rng.integers(1, 70)))
        for crops in crops_of(frame, dict(enumerate(windows))):
            out = gpu.empty(crops.pixels.shape, np.uint8)
            stages.gather(there, [(w.x, w.y) for w in crops.windows], out)
            assert np.array_equal(fetched(gpu, stream, out), crops.pixels), (seed, height, width, crops.windows)


def bgr_of_nv12(luma, chroma, colours):
    """The conversion in float64 by its definition: chroma at column 2i and between rows 2j and 2j + 1, bilinear."""
    height, width = luma.shape
    pairs = chroma.reshape(len(chroma), -1, 2).astype(np.float64)

    def between(length, offset, last):
        at = np.clip((np.arange(length) - offset) / 2, 0, last)
        low = np.floor(at).astype(int)
        return low, np.minimum(low + 1, last), at - low

    top, bottom, down = between(height, 0.5, len(pairs) - 1)
    left, right, across = between(width, 0.0, pairs.shape[1] - 1)
    rows = pairs[top] * (1 - down)[:, None, None] + pairs[bottom] * down[:, None, None]
    full = rows[:, left] * (1 - across)[:, None] + rows[:, right] * across[:, None]
    y, (u, v) = (luma - 16.0) / 219, np.moveaxis((full - 128) / 224, 2, 0)
    kr, kb = COLOURS[colours]
    red, blue = y + 2 * (1 - kr) * v, y + 2 * (1 - kb) * u
    green = (y - kr * red - kb * blue) / (1 - kr - kb)
    return np.clip(np.rint(255 * np.stack([blue, green, red], 2)), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("colours", sorted(COLOURS))
@pytest.mark.parametrize("seed", range(ROUNDS // 2))
def test_windows_of_an_nv12_frame_are_the_crops_of_its_picture(gpu, seed, colours):
    stages, stream = stages_of(gpu)
    rng = np.random.default_rng(seed)
    for _ in range(LAYOUTS):
        height, width, windows = layout(rng)
        luma = noise(rng, height, width)[..., 0]
        chroma = noise(rng, (height + 1) // 2, (width + 1) // 2)[..., :2].reshape((height + 1) // 2, -1)
        gap = int(rng.integers(0, 2) * rng.integers(1, 70))
        frame = Nv12(uploaded(gpu, stream, luma, gap), uploaded(gpu, stream, chroma, gap), colours)
        picture = bgr_of_nv12(luma, chroma, colours)
        for crops in crops_of(picture, dict(enumerate(windows))):
            out = gpu.empty(crops.pixels.shape, np.uint8)
            stages.gather(frame, [(w.x, w.y) for w in crops.windows], out)
            assert farthest(fetched(gpu, stream, out), crops.pixels) <= 1, (seed, height, width)


@pytest.mark.parametrize(
    ("luma", "u", "v", "colours", "bgr"),
    [  # from the standards: video black and white, and their primaries
        (16, 128, 128, "bt601", (0, 0, 0)),
        (235, 128, 128, "bt709", (255, 255, 255)),
        (81, 90, 240, "bt601", (0, 0, 255)),
        (63, 102, 240, "bt709", (0, 0, 255)),
        (41, 240, 110, "bt601", (255, 0, 0)),
        (32, 240, 118, "bt709", (255, 0, 0)),
    ],
)
def test_colours_of_video_are_those_of_the_standards(gpu, luma, u, v, colours, bgr):
    stages, stream = stages_of(gpu)
    planes = np.full((32, 32), luma, np.uint8), np.tile(np.array([u, v], np.uint8), (16, 16))
    out = gpu.empty((1, 32, 32, 3), np.uint8)
    stages.gather(Nv12(*(uploaded(gpu, stream, plane) for plane in planes), colours), [(0, 0)], out)
    assert farthest(fetched(gpu, stream, out), np.array(bgr)) <= 2  # the standards' bytes are rounded themselves


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_the_enlarged_frame_is_the_background(gpu, scale):
    stages, stream = stages_of(gpu)
    rng = np.random.default_rng(scale)
    for _ in range(LAYOUTS // 4):
        height, width, _ = layout(rng, most=90)
        frame = noise(rng, height, width)
        out = gpu.empty((scale * height, scale * width, 3), np.uint8)
        stages.enlarge(uploaded(gpu, stream, frame, gap=int(rng.integers(0, 40))), out)
        assert farthest(fetched(gpu, stream, out), enlarge(frame, scale)) <= 1, (height, width)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("side", CROP_SIZES)
def test_projected_faces_agree_with_the_camera_as_those_of_the_graph(gpu, side, scale):
    stages, stream = stages_of(gpu)
    rng = np.random.default_rng(side)
    crops = np.stack([noise(rng, side, side) for _ in range(2)])
    faces = np.stack([noise(rng, scale * side, scale * side) // 2 + 60 for _ in range(2)])
    lacking = crops - resize_batch(faces, side, side)
    wanted = np.clip(np.rint(faces + resize_batch(lacking, scale * side, scale * side)), 0, 255)
    there = uploaded(gpu, stream, faces)
    stages.project(uploaded(gpu, stream, crops), there)
    assert farthest(fetched(gpu, stream, there), wanted) <= 1


def composed(rng, scale):
    """A layout with faces of random pixels."""
    height, width, windows = layout(rng, most=120)
    frame, faces = noise(rng, height, width), []
    for window in windows:
        pixels = noise(rng, scale * window.side, scale * window.side)
        original = np.zeros((window.side, window.side, 3), np.uint8)
        nowhere = np.zeros(4, np.float32), 0.9, np.zeros((5, 2), np.float32)
        faces.append(Face(*nowhere, window.xyxy, original, pixels, 0.0))
    return frame, tuple(faces)


def pasted(gpu, stages, stream, background, faces, outscale):
    there = uploaded(gpu, stream, background)
    placed = [
        ((f.window_xyxy[0], f.window_xyxy[1], f.original.shape[0]), uploaded(gpu, stream, f.pixels)) for f in faces
    ]
    stages.paste(there, placed, outscale, FEATHER)
    return fetched(gpu, stream, there)


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_pasted_faces_are_those_of_the_composite(gpu, seed):
    stages, stream = stages_of(gpu)
    rng = np.random.default_rng(seed)
    for n in range(LAYOUTS):
        scale, outscale = [(4, 2), (4, 4), (4, 1), (4, 3), (2, 2), (3, 2)][n % 6]
        frame, faces = composed(rng, scale)
        background = enlarge(frame, outscale)
        wanted = background.copy()
        paste(wanted, faces, outscale)
        got = pasted(gpu, stages, stream, background, faces, outscale)
        assert farthest(got, wanted) <= 1, (seed, n, frame.shape, [f.window_xyxy for f in faces])


def test_the_order_of_faces_never_matters(gpu):
    stages, stream = stages_of(gpu)
    rng = np.random.default_rng(5)
    for _ in range(20):
        frame, faces = composed(rng, 4)
        background = enlarge(frame, 2)
        turned = tuple(faces[i] for i in rng.permutation(len(faces)))
        one = pasted(gpu, stages, stream, background, faces, 2)
        assert np.array_equal(one, pasted(gpu, stages, stream, background, turned, 2))


def test_what_no_face_covers_stays_as_it_was(gpu):
    stages, stream = stages_of(gpu)
    frame = noise(np.random.default_rng(0), 100, 140)
    face = Face(
        None, 0.9, None, (20, 30, 52, 62), np.zeros((32, 32, 3), np.uint8), np.zeros((128, 128, 3), np.uint8), 0
    )
    background = enlarge(frame, 2)
    got = pasted(gpu, stages, stream, background, (face,), 2)
    assert got[92, 72].max() == 0 and background[92, 72].max() > 0
    got[60:124, 40:104] = background[60:124, 40:104]
    assert np.array_equal(got, background)


def test_more_faces_than_usual_are_pasted_all(gpu):
    stages, stream = stages_of(gpu)
    background = np.full((64, 64 * 150, 3), 200, np.uint8)
    pixels = uploaded(gpu, stream, np.zeros((64, 64, 3), np.uint8))
    there = uploaded(gpu, stream, background)
    stages.paste(there, [((32 * n, 0, 32), pixels) for n in range(300)][:150], 2, FEATHER)
    got = fetched(gpu, stream, there)
    assert (got[32, 32::64] == 0).all()


@pytest.mark.parametrize("case", ["gather", "chroma", "enlarge", "project", "outscale", "scales", "gaps", "colours"])
def test_what_does_not_fit_is_told(gpu, case):
    stages, _ = stages_of(gpu)

    def empty(*shape, dtype=np.uint8):
        return gpu.empty(shape, dtype)

    face = ((0, 0, 32), empty(64, 64, 3))
    seen = {**empty(8, 8, 3).__cuda_array_interface__, "strides": (24, 6, 1)}
    gappy = gpu.view(type("Gappy", (), {"__cuda_array_interface__": seen}))
    calls = {
        "gather": (lambda: stages.gather(empty(9, 9, 3), [(0, 0)], empty(2, 32, 32, 3)), r"expected \(1, S, S, 3\)"),
        "chroma": (lambda: Nv12(empty(8, 8), empty(8, 8)), r"expected chroma of \(4, 8\) beside luma of \(8, 8\)"),
        "colours": (
            lambda: Nv12(empty(8, 8), empty(4, 8), "rec2020"),
            "expected colours of bt601, bt709, got 'rec2020'",
        ),
        "enlarge": (lambda: stages.enlarge(empty(9, 9, 3), empty(18, 20, 3)), "a whole multiple of"),
        "project": (lambda: stages.project(empty(1, 32, 32, 3), empty(1, 80, 80, 3)), "a whole number of times"),
        "outscale": (lambda: stages.paste(empty(96, 96, 3), [face], 3, 0.1), "expected faces of one whole scale, 3 or"),
        "scales": (
            lambda: stages.paste(empty(64, 64, 3), [face, ((0, 0, 16), empty(64, 64, 3))], 2, 0.1),
            r"got \[2.0, 4.0\]",
        ),
        "gaps": (lambda: stages.gather(gappy, [(0, 0)], empty(1, 32, 32, 3)), "follow each other in a row"),
    }
    call, message = calls[case]
    with pytest.raises(EngineError, match=message):
        call()


def test_a_frame_without_faces_costs_nothing(gpu):
    stages, _ = stages_of(gpu)
    stages.paste(gpu.empty((8, 8, 3), np.uint8), [], 2, FEATHER)
    assert stages.close() is None and stages.close() is None


def test_memory_stays_flat_over_many_frames(gpu, machine):
    stages, stream = stages_of(gpu)
    rng = np.random.default_rng(0)
    frame, faces = composed(rng, 2)
    background = enlarge(frame, 2)

    def once():
        crops = crops_of(frame, {i: Window(*f.window_xyxy[:2], f.original.shape[0]) for i, f in enumerate(faces)})
        for crop in crops:
            out = gpu.empty(crop.pixels.shape, np.uint8)
            stages.gather(uploaded(gpu, stream, frame), [(w.x, w.y) for w in crop.windows], out)
        pasted(gpu, stages, stream, background, faces, 2)

    once()
    held, before = machine.held(), 0
    for n in range(150):
        once()
        if n == 50:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert machine.held() == held
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 4096  # KiB
