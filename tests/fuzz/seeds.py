"""Valid small files of every kind that the package reads, made by the libraries that write them."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from .mutate import deflate_bomb

WIDTH, HEIGHT = 96, 80
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF/></x:xmpmeta>'


@cache
def picture() -> NDArray[np.uint8]:
    """(80, 96, 3) uint8 BGR with one face of about 40 px."""
    from facesr_edge.calibration.data.faces import astronaut

    view = astronaut()[20:220, 100:340]
    return np.asarray(cv2.resize(view, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA), np.uint8)


def write_seeds(kind: str, folder: Path) -> None:
    """Write the seeds of a kind, a key of `SEEDS`, into an empty folder."""
    SEEDS[kind](folder)


def _pictures(folder: Path) -> None:
    from PIL import Image, ImageCms

    image = Image.fromarray(picture()[:, :, ::-1].copy())
    alpha = image.copy()
    alpha.putalpha(Image.linear_gradient("L").resize(image.size))
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[274], exif[271], exif[36867] = 6, "Maker", "2026:01:01 00:00:00"
    exif.get_ifd(0x8825)[1] = "N"
    meta = {"icc_profile": icc, "exif": exif.tobytes(), "xmp": XMP}

    def save(name: str, picture: Image.Image = image, **options: Any) -> None:
        with suppress(KeyError, OSError, ValueError):  # a format that this build of Pillow does not write
            picture.save(folder / name, **options)

    save("plain.jpg", quality=80)
    save("metadata.jpg", quality=80, **meta)
    save("progressive.jpg", progressive=True, dpi=(300, 300))
    save("restart.jpg", restart_marker_blocks=2, subsampling=0)
    save("grey.jpg", image.convert("L"))
    save("cmyk.jpg", image.convert("CMYK"))
    save("plain.png")
    save("metadata.png", alpha, icc_profile=icc, exif=exif.tobytes(), dpi=(300, 300))
    save("palette.png", image.quantize(16), transparency=0)
    save("grey_alpha.png", alpha.convert("LA"))
    save("one_bit.png", image.convert("1"))
    deep = (picture().astype(np.uint16) * 257)[..., ::-1]
    cv2.imwrite(str(folder / "deep.png"), deep)
    frames = [image, image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), image]
    save("animated.png", image, save_all=True, append_images=frames, duration=[100, 300, 50, 40], loop=2)
    save("lossy.webp", quality=70, **meta)
    save("lossless.webp", alpha, lossless=True)
    save("alpha.webp", alpha, quality=60)
    save("animated.webp", alpha, save_all=True, append_images=frames, duration=80, loop=1)
    save("plain.bmp")
    save("palette.bmp", image.quantize(256))
    save("alpha.bmp", alpha)
    for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        save(f"{compression}.tif", compression=compression, icc_profile=icc, dpi=(72, 72))
    save("pages.tif", image, save_all=True, append_images=frames, compression="tiff_lzw")
    save("alpha.tif", alpha)
    save("cmyk.tif", image.convert("CMYK"))
    save("float.tif", image.convert("F"))
    cv2.imwrite(str(folder / "deep.tif"), deep)
    save("static.gif", image.quantize(32))
    save("animated.gif", image, save_all=True, append_images=frames, duration=[50, 100, 70, 20], loop=0)
    with suppress(ImportError):
        import pillow_heif

        pillow_heif.register_heif_opener()
    with suppress(ImportError):
        import pillow_jxl  # noqa: F401
    save("plain.avif", quality=60, speed=10, **meta)
    save("alpha.avif", alpha, speed=10)
    save("animated.avif", image, save_all=True, append_images=frames, speed=10)
    save("plain.heic", quality=60, **meta)
    save("alpha.heic", alpha)
    save("plain.jxl", effort=1, **meta)
    save("alpha.jxl", alpha, effort=1)
    _picture_bombs(folder)


def _picture_bombs(folder: Path) -> None:
    """Files whose headers declare far more than they hold, and compressed metadata of 512 MB."""
    png, jpeg = (folder / "plain.png").read_bytes(), (folder / "plain.jpg").read_bytes()
    bomb = deflate_bomb(512 << 20)
    for name, chunk in (("iCCP", b"icc\0\0" + bomb), ("zTXt", b"Comment\0\0" + bomb)):
        (folder / f"bomb_{name}.png").write_bytes(png[:33] + _chunk(name.encode(), chunk) + png[33:])
    text = b"XML:com.adobe.xmp\0\1\0\0\0" + bomb
    (folder / "bomb_iTXt.png").write_bytes(png[:33] + _chunk(b"iTXt", text) + png[33:])
    huge = _chunk(b"IHDR", (60_000).to_bytes(4, "big") * 2 + b"\x08\x02\0\0\0")
    (folder / "bomb_size.png").write_bytes(png[:8] + huge + _chunk(b"IDAT", bomb) + _chunk(b"IEND", b""))
    frame = jpeg.find(b"\xff\xc0")
    (folder / "bomb_size.jpg").write_bytes(jpeg[: frame + 5] + b"\xea\x60\xea\x60" + jpeg[frame + 9 :])


def _chunk(name: bytes, content: bytes) -> bytes:
    import zlib

    return len(content).to_bytes(4, "big") + name + content + zlib.crc32(name + content).to_bytes(4, "big")


def _videos(folder: Path) -> None:
    """Eight frames, in every container and codec, with sound and subtitles."""
    h264 = ("libx264", "yuv420p", {"preset": "ultrafast", "g": "4"})
    hevc = ("libx265", "yuv420p", {"preset": "ultrafast", "x265-params": "log-level=none:pools=1"})
    deep = ("libx265", "yuv420p10le", {"preset": "ultrafast", "x265-params": "log-level=none:pools=1:max-cll=1000,400"})
    vp9, vp8 = ("libvpx-vp9", "yuv420p", {"cpu-used": "8"}), ("libvpx", "yuv420p", {"cpu-used": "8"})
    av1 = ("libsvtav1", "yuv420p", {"preset": "12"})
    mpeg2, mpeg4, mjpeg = (("mpeg2video", "yuv420p", {}), ("mpeg4", "yuv420p", {}), ("mjpeg", "yuvj420p", {}))
    fragments = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    _video(folder / "h264.mp4", h264, audio="aac", subtitles="mov_text")
    _video(folder / "fragmented.mp4", h264, audio="aac", options=fragments)
    _video(folder / "faststart.mp4", h264, options={"movflags": "faststart"})
    _video(folder / "rotated.mov", h264, audio="pcm_s16le", rotation=90)
    _video(folder / "h264.mkv", h264, audio="aac", subtitles="subrip", chapters=True)
    _video(folder / "ffv1.mkv", ("ffv1", "yuv420p", {}), audio="flac")
    _video(folder / "hevc.mp4", hevc)
    _video(folder / "hdr.mkv", deep)
    _video(folder / "vp9.webm", vp9, audio="libopus")
    _video(folder / "vp8.webm", vp8)
    _video(folder / "av1.mp4", av1)
    _video(folder / "mpeg4.avi", mpeg4, audio="libmp3lame")
    _video(folder / "mjpeg.avi", mjpeg, audio="pcm_s16le")
    _video(folder / "h264.ts", h264, audio="aac")
    _video(folder / "mpeg2.ts", mpeg2, audio="mp2")
    _video(folder / "mpeg2.mpg", mpeg2, audio="mp2")
    _video(folder / "h264.flv", h264, audio="aac")
    _video(folder / "animated.gif", ("gif", "rgb8", {}))


def _video(
    path: Path, codec: tuple[str, str, dict[str, str]], audio: str = "", subtitles: str = "", chapters: bool = False,
    rotation: int | None = None, options: dict[str, str] | None = None,
) -> None:  # fmt: skip
    with suppress(av.FFmpegError, ValueError):  # an encoder that this build of FFmpeg does not have
        with av.open(str(path), "w", options=options or {}) as container:
            video = container.add_stream(codec[0], rate=25, options=codec[2])
            video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, codec[1]
            video.codec_context.thread_count = 1
            if rotation is not None:
                video.set_display_rotation(rotation)
            sound = container.add_stream(audio, rate=48_000) if audio else None
            text = container.add_mux_stream(subtitles) if subtitles else None
            if text is not None:
                text.time_base = Fraction(1, 1000)
            container.metadata["title"] = "a title"
            if chapters:
                chapter = {"id": 1, "start": 0, "end": 200, "time_base": Fraction(1, 1000), "metadata": {"title": "c"}}
                container.set_chapters([chapter])
            for index in range(8):
                frame = av.VideoFrame.from_ndarray(np.roll(picture(), 4 * index, 1), "bgr24")
                frame.pts, frame.time_base = index, Fraction(1, 25)
                container.mux(video.encode(frame))
                if sound is not None:
                    container.mux(sound.encode(_tone(index, sound)))
                if text is not None and index % 4 == 0:
                    packet = av.Packet(b"\0\x05words" if subtitles == "mov_text" else b"words")
                    packet.stream, packet.pts, packet.dts, packet.duration = text, 40 * index, 40 * index, 100
                    packet.time_base = Fraction(1, 1000)
                    container.mux(packet)
            for stream in filter(None, (video, sound)):
                container.mux(stream.encode(None))
        return
    path.unlink(missing_ok=True)


def _tone(index: int, stream: Any) -> av.AudioFrame:
    samples = (np.sin(np.arange(1920) * 0.05) * 9000).astype(np.int16)[None]
    frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = 48_000, index * 1920, Fraction(1, 48_000)
    return frame


def _graphs(folder: Path) -> None:
    """Graphs of bundles, and a file with the inputs and outputs of YuNet."""
    from facesr_edge.zoo.catalogue import find

    (folder / "network.onnx").write_bytes(find("edge-nano-x4").onnx.read_bytes())
    (folder / "detector.onnx").write_bytes(find("detector").onnx.read_bytes())
    (folder / "yunet.onnx").write_bytes(yunet_file())


def yunet_file() -> bytes:
    """One convolution per map, each of a stride of the input."""
    from facesr_edge.engines.postprocess import STRIDES
    from onnx import TensorProto, helper, numpy_helper

    nodes, outputs, weights = [], [], [numpy_helper.from_array(np.array([1, -1, 1], np.int64), "rows")]
    rng = np.random.default_rng(0)
    for name, channels in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)):
        shape = numpy_helper.from_array(np.array([1, -1, channels], np.int64), f"shape_{name}")
        weights.append(shape)
        for stride in STRIDES:
            key = f"{name}_{stride}"
            kernel = rng.normal(0, 0.01, (channels, 3, stride, stride)).astype(np.float32)
            weights.append(numpy_helper.from_array(kernel, f"w_{key}"))
            nodes.append(helper.make_node("Conv", ["input", f"w_{key}"], [f"c_{key}"], strides=[stride, stride]))
            nodes.append(helper.make_node("Transpose", [f"c_{key}"], [f"t_{key}"], perm=[0, 2, 3, 1]))
            nodes.append(helper.make_node("Reshape", [f"t_{key}", f"shape_{name}"], [key]))
            outputs.append(helper.make_tensor_value_info(key, TensorProto.FLOAT, [1, None, channels]))
    inputs = [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, "height", "width"])]
    graph = helper.make_graph(nodes, "yunet", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def _cards(folder: Path) -> None:
    from facesr_edge.zoo.catalogue import locate

    for name in ("edge-nano-x4", "detector"):
        (folder / f"{name}.json").write_bytes((locate(name) / "card.json").read_bytes())


def _weights(folder: Path) -> None:
    import torch
    from facesr_edge.networks import build_network
    from facesr_edge.networks.weights import Provenance, weights_bytes

    config = {"depth": 1, "width": 8, "scale": 4, "bicubic_skip": True}
    network = build_network("idrn", config)
    origin = Provenance({"data": "none", "degradation": "bicubic"}, "CC0-1.0", ("not trained",))
    (folder / "idrn.safetensors").write_bytes(weights_bytes(network, "idrn", config, origin))
    torch.save(network.state_dict(), folder / "idrn.pth")
    torch.save({"params_ema": network.state_dict(), "step": 7}, folder / "nested.pth")
    torch.save(network.state_dict(), folder / "legacy.pt", _use_new_zipfile_serialization=False)
    buffer = io.BytesIO()
    with zipfile.ZipFile(folder / "idrn.pth") as source, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as copy:
        for name in source.namelist():
            copy.writestr(name, source.read(name))
    (folder / "deflated.pth").write_bytes(buffer.getvalue())


def _labels(folder: Path) -> None:
    landmarks = [40, 30, 60, 30, 50, 40, 42, 52, 58, 52]
    face = {"box": [30, 15, 40, 48], "landmarks": landmarks, "score": 0.9}
    labels = {
        "portrait_0.png": {"faces": [face, {"box": [0, 0, 8, 8]}], "split": "test"},
        "scene_1.png": {"faces": [], "split": "test"},
        "scene_2.png": {"faces": [{**face, "score": 0.5}], "split": "train"},
    }
    (folder / "labels.json").write_text(json.dumps(labels), "utf-8")
    (folder / "fixes.json").write_text(json.dumps({"portrait_0.png": [1], "scene_2.png": [0]}), "utf-8")


def _library(folder: Path) -> None:
    """A library of two faces for msrnet-x8."""
    from facesr_edge.sdk.pipeline.references import build_library
    from facesr_edge.zoo.catalogue import find

    faces = folder / "faces"
    faces.mkdir()
    for number in range(2):
        cv2.imwrite(str(faces / f"{number}.png"), cv2.resize(picture()[:, number : number + 80], (144, 144)))
    build_library(faces, folder / "library", find("msrnet-x8"), threads=1)


def _caches(folder: Path) -> None:
    """What a first run leaves in the user's cache: records of the choice of engine, and compiled graphs."""
    import os

    from facesr_edge.sdk.load import load

    os.environ["XDG_CACHE_HOME"] = str(folder)
    with load("edge-nano-x4", threads=1) as pipeline:
        pipeline(picture())
    with load("edge-nano-x4", engine="openvino", threads=1) as pipeline:
        pipeline(picture())


SEEDS: dict[str, Callable[[Path], None]] = {
    "picture": _pictures,
    "video": _videos,
    "onnx": _graphs,
    "card": _cards,
    "weights": _weights,
    "labels": _labels,
    "library": _library,
    "cache": _caches,
}
"""Kind -> function that writes its valid files into a folder."""
