"""Cases of pictures and folders."""

from __future__ import annotations

import cv2
import numpy as np
from facesr_edge.calibration.data.faces import astronaut
from PIL import Image

from ..kept.made_pictures import PICTURES, display_p3, exif, rgba, scene
from ..kept.properties import enlarged
from ..kept.read_picture import read_picture
from .workspace import Measured, Workspace, frames_in, states


def broken_file_in_a_folder(space: Workspace) -> Measured:
    """Half a JPEG and a file of zeros among good ones."""
    folder, output = space.path("broken/in"), space.path("broken/out")
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        cv2.imwrite(str(folder / name), scene())
    data = (folder / "b.jpg").read_bytes()
    (folder / "b.jpg").write_bytes(data[: len(data) // 2])
    (folder / "._00.jpg").write_bytes(bytes(4096))
    done = space.run(folder, "-o", output)
    written = sorted(path.name for path in output.iterdir())
    listed = [name for name in ("b.jpg", "._00.jpg") if name in done.text]
    right = written == ["a.jpg", "c.jpg"] and done.code == 1 and len(listed) == 2
    return Measured("run in/ -o out/", f"wrote {', '.join(written)}; named {listed}; exit {done.code}", right)


def kinds_that_are_skipped(space: Workspace) -> Measured:
    """A folder with a text, a video and a subfolder."""
    folder = space.path("kinds/in")
    cv2.imwrite(str(folder / "a.png"), scene())
    cv2.imwrite(str(space.path("kinds/in/below") / "b.png"), scene())
    for name, (suffix, write) in PICTURES.items():
        if name in ("HEIC, turned", "AVIF, turned", "JPEG XL"):
            write(folder / f"c{suffix}")
    (folder / "d.txt").write_text("text", "utf-8")
    plain = space.run(folder, "-o", space.path("kinds/plain"))
    deep = space.run(folder, "--recursive", "-o", space.path("kinds/deep"))
    written = sorted(path.suffix for path in space.path("kinds/plain").iterdir())
    below = (space.path("kinds/deep") / "below" / "b.png").is_file()
    skipped = "d.txt" in plain.text and "below" in plain.text
    value = f"wrote {' '.join(written)}; skipped d.txt and below/ {'named' if skipped else 'not named'}; "
    value += f"--recursive {'wrote' if below else 'did not write'} below/b.png"
    return Measured("run in/ -o out/ [--recursive]", value, skipped and below and len(written) == 4 and deep.code == 0)


def alpha_of_a_png(space: Workspace) -> Measured:
    """Magenta under alpha 0."""
    source, output = space.path("alpha/a.png"), space.path("alpha/out.png")
    Image.fromarray(rgba()).save(source)
    space.run(source, "-o", output)
    with Image.open(output) as image:
        mode, pixels = image.mode, np.asarray(image.convert("RGBA"), np.float32)
    expected = enlarged(np.asarray(scene(), np.float32), (pixels.shape[1], pixels.shape[0]))
    edge = (pixels[..., 3] > 8) & (pixels[..., 3] < 250)
    error = float(np.abs(pixels[..., :3] - expected)[edge].mean())
    pairs = (("PNG", ".png"), ("WebP", ".webp"), ("animated GIF", ".gif"))
    others = states("", space.cells(*pairs), "alpha")
    right = mode == "RGBA" and error < 3 and others.right
    return Measured("run a.png -o out.png", f"{mode}, edge off by {error:.1f} levels; {others.value}", right)


def profile_and_tags(space: Workspace) -> Measured:
    """Display P3, EXIF with a place and an orientation."""
    source, output = space.path("tags/a.jpg"), space.path("tags/out.jpg")
    Image.fromarray(scene()).save(source, quality=97, icc_profile=display_p3(), exif=exif(6))
    space.run(source, "-o", output)
    after, before = read_picture(output), read_picture(source)
    space.run(source, "-o", space.path("tags/bare.jpg"), "--strip-metadata")
    bare = read_picture(space.path("tags/bare.jpg"))
    place = {tag: value for tag, value in after.exif.items() if tag.startswith("gps")}
    value = f"profile {'kept' if after.icc == before.icc else 'lost'}, {len(after.exif)} of {len(before.exif)} tags, "
    value += f"{len(place)} of a place, orientation {'1' if not after.turned else 'not reset'}; "
    value += f"--strip-metadata: {len(bare.exif)} tags"
    right = after.icc == before.icc and after.exif == before.exif and not after.turned and not bare.exif
    return Measured("run a.jpg -o out.jpg [--strip-metadata]", value, right)


def several_pictures_in_a_file(space: Workspace) -> Measured:
    """Animated WebP, APNG and a TIFF of three pages, to their own format and to one that holds one picture."""
    pairs = [("animated WebP", ".webp"), ("APNG", ".png"), ("TIFF, 3 pages", ".tif"), ("APNG", ".bmp")]
    return states("run a.webp -o out.webp …", space.cells(*pairs), "frames", "duration", "repetitions")


def large_face(space: Workspace) -> Measured:
    """A portrait larger than the largest crop."""
    source = space.path("large/a.png")
    cv2.imwrite(str(source), cv2.resize(astronaut()[0:256, 96:352], None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC))
    done = space.run(source, "-o", space.path("large/out.png"))
    line = next((line for line in done.text.splitlines() if "too large" in line), done.text.strip().splitlines()[-1])
    return Measured("run portrait.png -o out.png", line, "too large" in line)


def long_name(space: Workspace) -> Measured:
    """A name of 250 bytes."""
    name = "猫" * 82 + ".png"
    source, output = space.path("long/in") / name, space.path("long/out") / name
    cv2.imencode(".png", scene())[1].tofile(source)
    done = space.run(source, "-o", output)
    written = "written" if output.is_file() else "not written"
    return Measured("run NAME -o out/NAME", f"exit {done.code}, {written}", output.is_file())


def quality_options(space: Workspace) -> Measured:
    """Codec, quality, preset, subsampling, level and 16 bits."""
    source, sizes = space.path("quality/a.png"), []
    cv2.imwrite(str(source), cv2.resize(astronaut(), (128, 128)))
    for quality in (40, 95):
        space.run(source, "-o", space.path("quality/out.jpg"), "--quality", quality)
        sizes.append(space.path("quality/out.jpg").stat().st_size)
    levels = []
    for level in (0, 9):
        space.run(source, "-o", space.path("quality/out.png"), "--compression", level)
        levels.append(space.path("quality/out.png").stat().st_size)
    sampled = space.run(source, "-o", space.path("quality/444.jpg"), "--subsampling", "444")
    output = space.path("quality/out.mkv")
    video = space.run(space.clip, "-o", output, "--codec", "hevc", "--crf", 30, "--preset", "fast")
    deep = [cell for cell in space.cells(("PNG, 16 bit", ".png"), ("TIFF, 16 bit", ".tif")) if cell.name == "bit depth"]
    value = (
        f"JPEG {sizes[0]} and {sizes[1]} bytes, --subsampling exit {sampled.code}; PNG {levels[0]} and {levels[1]}; "
    )
    value += f"HEVC {frames_in(output)} frames; {', '.join(cell.value for cell in deep)}"
    right = sizes[0] < sizes[1] and levels[1] < levels[0] and video.code == sampled.code == 0
    right &= all(cell.state == "kept" for cell in deep)
    return Measured("run … --quality, --subsampling, --compression, --codec, --crf, --preset", value, right)


def incomplete_jpeg(space: Workspace) -> Measured:
    """Half a JPEG with an end marker, and a whole one without."""
    whole = cv2.imencode(".jpg", astronaut())[1].tobytes()
    codes = []
    for name, data in (("half.jpg", whole[: len(whole) // 2] + b"\xff\xd9"), ("open.jpg", whole[:-2])):
        space.path(f"jpeg/{name}").write_bytes(data)
        codes.append(space.run(space.path(f"jpeg/{name}"), "-o", space.path("jpeg/out.png")).code)
    value = f"half with end marker: exit {codes[0]}; whole without: exit {codes[1]}"
    return Measured("run half.jpg -o out.png; run open.jpg -o out.png", value, codes == [1, 0])


def oversized_output(space: Workspace) -> Measured:
    """A WebP of more than 16,383 pixels a side."""
    source = space.path("oversized/a.png")
    cv2.imwrite(str(source), np.full((16, 9000, 3), 90, np.uint8))
    done = space.run(source, "-o", space.path("oversized/out.webp"), "--json", space.path("oversized/a.json"))
    early = done.code == 2 and "frame" not in done.stdout.decode()
    return Measured("run wide.png -o out.webp", f"exit {done.code}: {done.last[-100:]}", early)
