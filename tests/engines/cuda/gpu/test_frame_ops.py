"""Frame operations: the CUDA kernels against numpy and OpenCV, over random layouts of faces."""

import platform
import resource

import numpy as np
import pytest
from facesr_edge.engines.bundle.io_spec import CROP_SIZES
from facesr_edge.engines.cuda.frame_ops import CANDIDATE_DTYPE, COLOR_SPACES, FrameOps, Nv12
from facesr_edge.engines.errors import EngineError
from facesr_edge.engines.padding import GREY
from facesr_edge.sdk.pipeline.crop import Window, crops_of
from facesr_edge.sdk.pipeline.detect import halvings, resize
from facesr_edge.sdk.pipeline.paste import FEATHER, enlarge, paste
from facesr_edge.sdk.pipeline.results import Face

SEEDS, LAYOUTS = 4, 60
"""240 layouts in total: edges, overlaps and frames smaller than a window occur dozens of times."""


def frame_ops(gpu):
    """Frame operations on a new stream; skips if the kernel compiler is missing."""
    stream = gpu.stream()
    try:
        return FrameOps(gpu, stream), stream
    except EngineError as error:
        if "NVRTC not found" in str(error) or "nvcc" in str(error):
            pytest.skip(str(error))
        raise


def upload(gpu, stream, host, gap=0):
    """Array on the GPU, with `gap` bytes of padding after each row."""
    host = np.ascontiguousarray(host)
    if not gap:
        array = gpu.empty(host.shape, host.dtype)
        gpu.upload(host, array, stream)
        return array
    rows = np.zeros((len(host), host[0].nbytes + gap), np.uint8)
    rows[:, :-gap] = host.reshape(len(host), -1)
    whole = upload(gpu, stream, rows)
    strides = (rows.shape[1], *host.strides[1:])
    interface = {**whole.__cuda_array_interface__, "shape": host.shape, "strides": strides, "stream": None}
    return gpu.view(type("Surface", (), {"__cuda_array_interface__": interface, "whole": whole})())


def download(gpu, stream, array):
    host = np.empty(array.shape, array.dtype)
    gpu.download(array, host, stream)
    stream.synchronize()
    return host


def noise(rng, height, width):
    """Coarse blocks with fine noise on half of the pixels: edges, clipped values and flat regions."""
    coarse = rng.integers(-40, 300, (-(-height // 9), -(-width // 9), 3)).repeat(9, 0).repeat(9, 1)[:height, :width]
    fine = rng.integers(-60, 60, (height, width, 3)) * (rng.random((height, width, 1)) < 0.5)
    return np.clip(coarse + fine, 0, 255).astype(np.uint8)


def layout(rng, max_side=160):
    """Frame size, often smaller than a window, and up to six windows, at and across the frame's edges."""
    height, width = (int(v) for v in rng.integers(4, max_side, 2))
    windows = []
    for _ in range(rng.integers(1, 7)):
        side = int(rng.choice(CROP_SIZES))
        x, y = (int(rng.integers(1 - side, length)) for length in (width, height))
        if rng.random() < 0.5:  # as placed by the crop stage
            x, y = (
                (length - side) // 2 if length < side else min(max(at, 0), length - side)
                for at, length in ((x, width), (y, height))
            )
        windows.append(Window(x, y, side))
    return height, width, windows


def max_difference(one, other):
    return int(np.abs(one.astype(int) - other.astype(int)).max())


@pytest.mark.parametrize("seed", range(SEEDS))
def test_gathered_windows_equal_the_cpu_crops(gpu, seed):
    ops, stream = frame_ops(gpu)
    rng = np.random.default_rng(seed)
    for _ in range(LAYOUTS):
        height, width, windows = layout(rng)
        frame = noise(rng, height, width)
        device = upload(gpu, stream, frame, gap=int(rng.integers(0, 2) * rng.integers(1, 70)))
        for crops in crops_of(frame, dict(enumerate(windows))):
            out = gpu.empty(crops.pixels.shape, np.uint8)
            ops.gather(device, [(w.x, w.y) for w in crops.windows], out)
            assert np.array_equal(download(gpu, stream, out), crops.pixels), (seed, height, width, crops.windows)


def bgr_from_nv12(luma, chroma, color_space):
    """Reference conversion in float64: bilinear, chroma at column 2i and between rows 2j and 2j + 1."""
    height, width = luma.shape
    pairs = chroma.reshape(len(chroma), -1, 2).astype(np.float64)

    def interpolation(length, offset, last):
        position = np.clip((np.arange(length) - offset) / 2, 0, last)
        low = np.floor(position).astype(int)
        return low, np.minimum(low + 1, last), position - low

    top, bottom, down = interpolation(height, 0.5, len(pairs) - 1)
    left, right, across = interpolation(width, 0.0, pairs.shape[1] - 1)
    rows = pairs[top] * (1 - down)[:, None, None] + pairs[bottom] * down[:, None, None]
    full = rows[:, left] * (1 - across)[:, None] + rows[:, right] * across[:, None]
    y, (u, v) = (luma - 16.0) / 219, np.moveaxis((full - 128) / 224, 2, 0)
    kr, kb = COLOR_SPACES[color_space]
    red, blue = y + 2 * (1 - kr) * v, y + 2 * (1 - kb) * u
    green = (y - kr * red - kb * blue) / (1 - kr - kb)
    return np.clip(np.rint(255 * np.stack([blue, green, red], 2)), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("color_space", sorted(COLOR_SPACES))
@pytest.mark.parametrize("seed", range(SEEDS // 2))
def test_windows_of_an_nv12_frame_equal_the_crops_of_its_bgr_frame(gpu, seed, color_space):
    ops, stream = frame_ops(gpu)
    rng = np.random.default_rng(seed)
    for _ in range(LAYOUTS):
        height, width, windows = layout(rng)
        luma = noise(rng, height, width)[..., 0]
        chroma = noise(rng, (height + 1) // 2, (width + 1) // 2)[..., :2].reshape((height + 1) // 2, -1)
        gap = int(rng.integers(0, 2) * rng.integers(1, 70))
        frame = Nv12(upload(gpu, stream, luma, gap), upload(gpu, stream, chroma, gap), color_space)
        bgr = bgr_from_nv12(luma, chroma, color_space)
        for crops in crops_of(bgr, dict(enumerate(windows))):
            out = gpu.empty(crops.pixels.shape, np.uint8)
            ops.gather(frame, [(w.x, w.y) for w in crops.windows], out)
            assert max_difference(download(gpu, stream, out), crops.pixels) <= 1, (seed, height, width)


@pytest.mark.parametrize(
    ("luma", "u", "v", "color_space", "bgr"),
    [  # from the standards: black, white and primaries
        (16, 128, 128, "bt601", (0, 0, 0)),
        (235, 128, 128, "bt709", (255, 255, 255)),
        (81, 90, 240, "bt601", (0, 0, 255)),
        (63, 102, 240, "bt709", (0, 0, 255)),
        (41, 240, 110, "bt601", (255, 0, 0)),
        (32, 240, 118, "bt709", (255, 0, 0)),
    ],
)
def test_nv12_conversion_matches_the_standards(gpu, luma, u, v, color_space, bgr):
    ops, stream = frame_ops(gpu)
    planes = np.full((32, 32), luma, np.uint8), np.tile(np.array([u, v], np.uint8), (16, 16))
    out = gpu.empty((1, 32, 32, 3), np.uint8)
    ops.gather(Nv12(*(upload(gpu, stream, plane) for plane in planes), color_space), [(0, 0)], out)
    assert max_difference(download(gpu, stream, out), np.array(bgr)) <= 2  # the standards list rounded values


SIZES = [  # of the window, and of its place in the network input
    ((96, 64), (96, 64)),
    ((96, 64), (48, 32)),
    ((96, 64), (24, 16)),
    ((192, 128), (12, 8)),
    ((160, 96), (5, 3)),
    ((99, 66), (33, 22)),
    ((100, 60), (67, 40)),
    ((131, 77), (120, 41)),
    ((75, 50), (100, 67)),
    ((50, 100), (100, 50)),
]


@pytest.mark.parametrize(("window_wh", "resized_wh"), SIZES)
def test_a_resized_window_equals_that_of_the_detector_on_the_cpu(gpu, window_wh, resized_wh):
    ops, stream = frame_ops(gpu)
    rng = np.random.default_rng(0)
    frame = noise(rng, 140, 210)
    (width, height), (x, y) = window_wh, (11, 7)
    cells = [(x, y, width, height, 5, 3, *resized_wh, halvings((height, width), resized_wh[::-1]))]
    out = gpu.empty((1, resized_wh[1] + 6, resized_wh[0] + 9, 3), np.uint8)
    ops.fill_cells(upload(gpu, stream, frame, gap=13), cells, GREY, out)
    expected = np.full(out.shape[1:], GREY, np.uint8)
    resize(frame[y : y + height, x : x + width], expected[3:-3, 5:-4])
    exact = platform.machine() in ("x86_64", "AMD64")  # elsewhere OpenCV sums fractions of pixels by fused operations
    assert max_difference(download(gpu, stream, out)[0], expected) <= (0 if exact else 1)


def test_more_cells_than_a_launch_takes_are_all_filled(gpu):
    ops, stream = frame_ops(gpu)
    frame = noise(np.random.default_rng(0), 40, 60)
    cells = [(n, n // 2, 8, 8, 8 * (n % 10), 8 * (n // 10), 8, 8, 0) for n in range(50)]
    out = gpu.empty((1, 48, 88, 3), np.uint8)
    ops.fill_cells(upload(gpu, stream, frame), cells, GREY, out)
    expected = np.full((48, 88, 3), GREY, np.uint8)
    for x, y, _, _, left, top, *_ in cells:
        expected[top : top + 8, left : left + 8] = frame[y : y + 8, x : x + 8]
    assert np.array_equal(download(gpu, stream, out)[0], expected)


def test_more_windows_than_a_launch_takes_are_all_gathered(gpu):
    ops, stream = frame_ops(gpu)
    frame = noise(np.random.default_rng(0), 40, 60)
    windows = {n: Window(n % 28, n // 28, 32) for n in range(300)}
    (crops,) = crops_of(frame, windows)
    out = gpu.empty(crops.pixels.shape, np.uint8)
    ops.gather(upload(gpu, stream, frame), [(w.x, w.y) for w in crops.windows], out)
    assert np.array_equal(download(gpu, stream, out), crops.pixels)


def test_candidates_are_the_rows_above_the_score_of_every_call(gpu):
    ops, stream = frame_ops(gpu)
    rng = np.random.default_rng(0)
    calls = [rng.random((1, rows, 15)).astype(np.float32) for rows in (1000, 7, 300)]
    calls[0][0, :3, 0] = np.float32(0.9), np.nextafter(np.float32(0.9), np.float32(0)), np.nan
    found, candidates = gpu.empty((1,), np.int32), gpu.empty((1307,), CANDIDATE_DTYPE)
    gpu.fill(found, 0, stream)
    for maps, first in zip(calls, (0, 1000, 1007), strict=True):
        ops.append_candidates(upload(gpu, stream, maps), 0.9, first, found, candidates)
    rows = np.concatenate(calls, axis=1)[0]
    kept = np.flatnonzero(rows[:, 0] >= 0.9)
    count = int(download(gpu, stream, found)[0])
    result = np.sort(download(gpu, stream, candidates)[:count], order="cell")
    assert 0 in kept and np.array_equal(result["cell"], kept) and np.array_equal(result["values"], rows[kept])


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_the_enlarged_frame_equals_the_cpu_background(gpu, scale):
    ops, stream = frame_ops(gpu)
    rng = np.random.default_rng(scale)
    for _ in range(LAYOUTS // 4):
        height, width, _ = layout(rng, max_side=90)
        frame = noise(rng, height, width)
        out = gpu.empty((scale * height, scale * width, 3), np.uint8)
        ops.enlarge(upload(gpu, stream, frame, gap=int(rng.integers(0, 40))), out)
        assert max_difference(download(gpu, stream, out), enlarge(frame, scale)) <= 1, (height, width)


def random_faces(rng, scale):
    """Frame and faces of a random layout."""
    height, width, windows = layout(rng, max_side=120)
    frame, faces = noise(rng, height, width), []
    for window in windows:
        pixels = noise(rng, scale * window.side, scale * window.side)
        original = np.zeros((window.side, window.side, 3), np.uint8)
        no_detection = np.zeros(4, np.float32), 0.9, np.zeros((5, 2), np.float32)
        faces.append(Face(*no_detection, window.xyxy, original, pixels, 0.0))
    return frame, tuple(faces)


def paste_on_gpu(gpu, ops, stream, background, faces, outscale):
    device = upload(gpu, stream, background)
    placed = [((f.window_xyxy[0], f.window_xyxy[1], f.original.shape[0]), upload(gpu, stream, f.pixels)) for f in faces]
    ops.paste(device, placed, outscale, FEATHER)
    return download(gpu, stream, device)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_pasted_faces_equal_the_cpu_composite(gpu, seed):
    ops, stream = frame_ops(gpu)
    rng = np.random.default_rng(seed)
    for n in range(LAYOUTS):
        scale, outscale = [(4, 2), (4, 4), (4, 1), (4, 3), (2, 2), (3, 2)][n % 6]
        frame, faces = random_faces(rng, scale)
        background = enlarge(frame, outscale)
        expected = background.copy()
        paste(expected, faces, outscale)
        result = paste_on_gpu(gpu, ops, stream, background, faces, outscale)
        assert max_difference(result, expected) <= 1, (seed, n, frame.shape, [f.window_xyxy for f in faces])


def test_more_faces_than_arguments_hold_are_all_pasted(gpu):
    ops, stream = frame_ops(gpu)
    rng = np.random.default_rng(7)
    frame, originals = noise(rng, 90, 120), np.zeros((32, 32, 3), np.uint8)
    no_detection = np.zeros(4, np.float32), 0.9, np.zeros((5, 2), np.float32)
    corners = [(int(rng.integers(0, 88)), int(rng.integers(0, 58))) for _ in range(100)]
    faces = tuple(Face(*no_detection, (x, y, x + 32, y + 32), originals, noise(rng, 64, 64), 0.0) for x, y in corners)
    background = enlarge(frame, 2)
    expected = background.copy()
    paste(expected, faces, 2)
    assert max_difference(paste_on_gpu(gpu, ops, stream, background, faces, 2), expected) <= 1


def test_the_order_of_faces_does_not_matter(gpu):
    ops, stream = frame_ops(gpu)
    rng = np.random.default_rng(5)
    for _ in range(20):
        frame, faces = random_faces(rng, 4)
        background = enlarge(frame, 2)
        permuted = tuple(faces[i] for i in rng.permutation(len(faces)))
        one = paste_on_gpu(gpu, ops, stream, background, faces, 2)
        assert np.array_equal(one, paste_on_gpu(gpu, ops, stream, background, permuted, 2))


def test_paste_leaves_the_background_untouched(gpu):
    ops, stream = frame_ops(gpu)
    frame = noise(np.random.default_rng(0), 100, 140)
    face = Face(
        None, 0.9, None, (20, 30, 52, 62), np.zeros((32, 32, 3), np.uint8), np.zeros((128, 128, 3), np.uint8), 0
    )
    background = enlarge(frame, 2)
    result = paste_on_gpu(gpu, ops, stream, background, (face,), 2)
    assert result[92, 72].max() == 0 and background[92, 72].max() > 0
    result[60:124, 40:104] = background[60:124, 40:104]
    assert np.array_equal(result, background)


def test_150_faces_are_pasted(gpu):
    ops, stream = frame_ops(gpu)
    background = np.full((64, 64 * 150, 3), 200, np.uint8)
    pixels = upload(gpu, stream, np.zeros((64, 64, 3), np.uint8))
    device = upload(gpu, stream, background)
    ops.paste(device, [((32 * n, 0, 32), pixels) for n in range(300)][:150], 2, FEATHER)
    result = download(gpu, stream, device)
    assert (result[32, 32::64] == 0).all()


@pytest.mark.parametrize("case", ["gather", "chroma", "enlarge", "outscale", "scales", "strides", "color_space"])
def test_invalid_arguments_raise(gpu, case):
    ops, _ = frame_ops(gpu)

    def empty(*shape, dtype=np.uint8):
        return gpu.empty(shape, dtype)

    face = ((0, 0, 32), empty(64, 64, 3))
    interface = {**empty(8, 8, 3).__cuda_array_interface__, "strides": (24, 6, 1)}
    strided = gpu.view(type("Strided", (), {"__cuda_array_interface__": interface}))
    calls = {
        "gather": (
            lambda: ops.gather(empty(9, 9, 3), [(0, 0)], empty(2, 32, 32, 3)),
            r"expected contiguous \(1, H, W, 3\)",
        ),
        "chroma": (lambda: Nv12(empty(8, 8), empty(8, 8)), r"expected chroma of \(4, 8\) for luma of \(8, 8\)"),
        "color_space": (
            lambda: Nv12(empty(8, 8), empty(4, 8), "rec2020"),
            "expected a color space of bt601, bt709, got 'rec2020'",
        ),
        "enlarge": (lambda: ops.enlarge(empty(9, 9, 3), empty(18, 20, 3)), "an integer multiple of"),
        "outscale": (lambda: ops.paste(empty(96, 96, 3), [face], 3, 0.1), "one integer scale of at least 3"),
        "scales": (
            lambda: ops.paste(empty(64, 64, 3), [face, ((0, 0, 16), empty(64, 64, 3))], 2, 0.1),
            r"got \[2.0, 4.0\]",
        ),
        "strides": (lambda: ops.gather(strided, [(0, 0)], empty(1, 32, 32, 3)), "rows of contiguous pixels"),
    }
    call, message = calls[case]
    with pytest.raises(EngineError, match=message):
        call()


def test_a_frame_without_faces_launches_nothing(gpu):
    ops, _ = frame_ops(gpu)
    ops.paste(gpu.empty((8, 8, 3), np.uint8), [], 2, FEATHER)
    assert ops.close() is None and ops.close() is None


def test_memory_use_is_constant_over_many_frames(gpu, machine):
    ops, stream = frame_ops(gpu)
    rng = np.random.default_rng(0)
    frame, faces = random_faces(rng, 2)
    background = enlarge(frame, 2)

    def once():
        crops = crops_of(frame, {i: Window(*f.window_xyxy[:2], f.original.shape[0]) for i, f in enumerate(faces)})
        for crop in crops:
            out = gpu.empty(crop.pixels.shape, np.uint8)
            ops.gather(upload(gpu, stream, frame), [(w.x, w.y) for w in crop.windows], out)
        paste_on_gpu(gpu, ops, stream, background, faces, 2)

    once()
    live_objects, before = machine.live_objects(), 0
    for n in range(60):
        once()
        if n == 20:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert machine.live_objects() == live_objects
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 4096  # KiB
