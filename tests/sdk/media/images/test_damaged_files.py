"""Damaged image files are refused in one line, whatever their decoder raises."""

import struct
import zlib

import pytest
from facesr_edge.engines.errors import InputError
from facesr_edge.sdk.media.images.image_file import ImageFile
from support.media import encoded, one_line


def frames_of(path, data):
    path.write_bytes(data)
    return list(ImageFile(path).frames())


def test_damaged_huffman_table_is_an_input_error(tmp_path):
    data = encoded(".jpg")
    at = data.index(b"\xff\xc4")
    with pytest.raises(InputError, match="truncated or damaged") as error:
        frames_of(tmp_path / "a.jpg", data[: at + 4] + b"\xff" * 40 + data[at + 44 :])
    assert str(error.value).count("a.jpg") == 1 and one_line(error)


def test_bytes_after_the_end_of_a_png_are_ignored(tmp_path):
    (frame,) = frames_of(tmp_path / "a.png", encoded(".png") + b"\x7f" * 100)
    assert frame.pixels.shape == (48, 64, 3)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".bmp"])
def test_file_of_random_bytes_after_its_magic_is_an_input_error(tmp_path, suffix):
    for seed in range(40):
        data = bytearray(encoded(suffix))
        data[16:] = bytes((seed * 31 + n * 17) % 256 for n in range(len(data) - 16))
        with pytest.raises(InputError) as error:
            frames_of(tmp_path / f"a{suffix}", bytes(data))
        assert one_line(error)


def test_tiff_directory_beyond_the_file_is_an_input_error(tmp_path):
    data = encoded(".tif")
    with pytest.raises(InputError):
        frames_of(tmp_path / "a.tif", data[:4] + struct.pack("<I", 1 << 31) + data[8:])


def test_compressed_metadata_of_512_mb_is_not_unpacked(tmp_path):
    import resource

    png, block, packer = encoded(".png"), bytes(1 << 20), zlib.compressobj(9)
    text = b"Comment\0\0" + b"".join(packer.compress(block) for _ in range(512)) + packer.flush()
    chunk = struct.pack(">I", len(text)) + b"zTXt" + text + struct.pack(">I", zlib.crc32(b"zTXt" + text))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (frame,) = frames_of(tmp_path / "a.png", png[:33] + chunk + png[33:])
    assert frame.pixels.shape == (48, 64, 3)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10
