"""Compression artifacts on low-resolution pictures: JPEG, and H.264 with inter-frame prediction."""

from __future__ import annotations

from fractions import Fraction

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from ...calibration.metrics.image import LUMA

Images = NDArray[np.uint8]
BLOCK = 16
"""Side of the largest coding blocks in pixels; crops get a random position relative to the block grid."""
_TO_YUV = np.array((LUMA, (112.0, -74.203, -37.797), (-18.214, -93.786, 112.0))) / 255
"""BGR to Y, Cb, Cr (BT.601, limited range), without the offsets."""
_OFFSET = np.array((16.0, 128.0, 128.0))


def jpeg(picture: Images, quality: int, rng: np.random.Generator) -> Images:
    """JPEG with 4:2:0 chroma, at a quality of 1 to 100: (H, W, 3) BGR -> (H, W, 3)."""
    height, width = picture.shape[:2]
    y, x = rng.integers(BLOCK, size=2)
    padded = np.pad(picture, ((y, -(y + height) % BLOCK), (x, -(x + width) % BLOCK), (0, 0)), mode="edge")
    chroma = (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420)
    encoded = cv2.imencode(".jpg", padded, (cv2.IMWRITE_JPEG_QUALITY, quality, *chroma))[1]
    decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    return np.asarray(decoded, np.uint8)[y : y + height, x : x + width]


def h264(clips: Images, crf: int, rng: np.random.Generator) -> Images:
    """The last frames (N, H, W, 3) of short clips after H.264; all clips are tiled into one video.

    Args:
        clips: (T, N, H, W, 3) BGR; the first frame is an I frame, the others are P frames.
        crf: rate factor of x264: 18 is visually lossless, 40 very poor.
        rng: draws the position of each clip relative to the block grid.
    """
    time, n, height, width, _ = clips.shape
    cell_h, cell_w = (-(-(side + BLOCK - 1) // BLOCK) * BLOCK for side in (height, width))
    columns = int(np.ceil(np.sqrt(n)))
    canvas = np.full((time, -(-n // columns) * cell_h, columns * cell_w, 3), 128, np.uint8)
    positions = []
    for i in range(n):
        top, left = i // columns * cell_h, i % columns * cell_w
        y, x = rng.integers(BLOCK, size=2)
        border = ((0, 0), (y, cell_h - height - y), (x, cell_w - width - x), (0, 0))
        canvas[:, top : top + cell_h, left : left + cell_w] = np.pad(clips[:, i], border, mode="edge")
        positions.append((top + y, left + x))
    last = _last_frame(canvas, crf)
    return np.stack([last[y : y + height, x : x + width] for y, x in positions])


def _last_frame(frames: Images, crf: int) -> Images:
    """Encode and decode (T, H, W, 3) frames of even size; returns the last frame, (H, W, 3)."""
    encoder = av.VideoCodecContext.create("libx264", "w")
    encoder.height, encoder.width = frames.shape[1:3]
    encoder.pix_fmt, encoder.time_base, encoder.thread_count = "yuv420p", Fraction(1, 25), 1
    encoder.options = {"preset": "veryfast", "tune": "zerolatency", "crf": str(crf)}
    decoder = av.VideoCodecContext.create("h264", "r")
    decoder.thread_count = 1
    packets = []
    for number, planes in enumerate(_planes_from_bgr(frames)):
        frame = av.VideoFrame.from_ndarray(planes, "yuv420p")
        frame.pts = number
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    decoded = [frame for packet in [*packets, None] for frame in decoder.decode(packet)]
    return _bgr_from_planes(np.asarray(decoded[-1].to_ndarray(), np.uint8))


def _planes_from_bgr(frames: Images) -> Images:
    """(T, H, W, 3) -> (T, 1.5·H, W) YUV 4:2:0: Y above, below it Cb and Cr, each the mean of 2×2 pixels.

    FFmpeg's conversion starts threads at each call, which takes longer than the codec; OpenCV's subsamples the chroma
    without averaging.
    """
    time, height, width, _ = frames.shape
    matrix = np.column_stack((_TO_YUV, _OFFSET))
    yuv = cv2.transform(frames.reshape(time * height, width, 3).astype(np.float32), matrix)
    chroma = cv2.resize(yuv[..., 1:], (width // 2, time * height // 2), interpolation=cv2.INTER_AREA)
    luma = yuv[..., 0].reshape(time, height * width)
    chroma_rows = chroma.reshape(time, -1, 2).swapaxes(1, 2).reshape(time, -1)
    return np.asarray(np.rint(np.concatenate((luma, chroma_rows), 1)), np.uint8).reshape(time, -1, width)


def _bgr_from_planes(planes: Images) -> Images:
    """(1.5·H, W) YUV 4:2:0 -> (H, W, 3), chroma by linear interpolation."""
    width = planes.shape[1]
    height = len(planes) * 2 // 3
    chroma = planes[height:].reshape(2, height // 2, width // 2).transpose(1, 2, 0).astype(np.float32)
    yuv = np.dstack((planes[:height], cv2.resize(chroma, (width, height), interpolation=cv2.INTER_LINEAR)))
    to_bgr = np.linalg.inv(_TO_YUV)
    bgr = cv2.transform(yuv, np.column_stack((to_bgr, -to_bgr @ _OFFSET)))
    return np.asarray(np.clip(np.rint(bgr), 0, 255), np.uint8)
