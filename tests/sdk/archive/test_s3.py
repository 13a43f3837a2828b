"""A batch from and to S3: a real server with the API, on this machine."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from facesr_edge.engines.errors import InputError, MissingDependencyError, UsageError
from facesr_edge.sdk.archive.batch import batch
from facesr_edge.sdk.archive.inputs import find_files
from facesr_edge.sdk.archive.storage import STATE, open_output
from support.archives import CHUNK, SPEC

s3fs = pytest.importorskip("s3fs")
moto_server = pytest.importorskip("moto.server")


@pytest.fixture(scope="module")
def bucket():
    """File system of a server with an empty bucket named archive."""
    server = moto_server.ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    settings = {"endpoint_url": f"http://{host}:{port}", "key": "test", "secret": "test"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", settings["endpoint_url"])
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        system = s3fs.S3FileSystem(**settings)
        system.mkdir("archive")
        yield system
    server.stop()


def test_a_batch_reads_from_s3_and_writes_to_it_and_goes_on(bucket, archive, reference, tmp_path):
    bucket.put(str(archive), "archive/in", recursive=True)
    bucket.pipe("archive/in/notes.txt", b"not a picture")
    options = {"pipeline": SPEC, "chunk": CHUNK, "recursive": True, "workers": 1, "scratch": tmp_path}
    summary = batch(["s3://archive/in"], "s3://archive/out", **options)
    assert (summary.done, summary.failures, summary.skipped) == (3, (), ("notes.txt",))
    for name in ("lobby.png", "door/night.jpg"):
        assert bucket.cat(f"archive/out/{name}") == (reference / name).read_bytes()
    bucket.invalidate_cache()
    report = [json.loads(line) for line in bucket.cat("archive/out/batch.jsonl").splitlines()]
    assert {line["source"] for line in report if line["type"] == "file"} == {
        f"s3://archive/in/{name}" for name in ("lobby.png", "door/night.jpg", "door/clip.mp4")
    }
    assert not [name for name in bucket.find("archive/out") if "/parts/" in name]
    assert not list(tmp_path.iterdir())
    bucket.rm("archive/out/lobby.png")
    again = batch(["s3://archive/in/*.png", "s3://archive/in/door/night.jpg"], "s3://archive/out", **options)
    assert (again.done, again.earlier) == (2, 0)  # the second one has another name now
    assert bucket.cat("archive/out/night.jpg") == (reference / "door" / "night.jpg").read_bytes()
    assert bucket.cat("archive/out/lobby.png") == (reference / "lobby.png").read_bytes()
    with pytest.raises(UsageError, match="holds a batch with score"):
        batch(["s3://archive/in"], "s3://archive/out", **{**options, "pipeline": replace(SPEC, score=0.4)})
    assert bucket.exists(f"archive/out/{STATE}/batch.json")


def test_urls_that_cannot_be_used_are_told(bucket, tmp_path):
    for url, error, message in (
        ("s3://archive/nothing", InputError, "does not exist or has no files"),
        ("s3://missing-bucket/in", InputError, "s3://missing-bucket/in"),
        ("memory://pictures", UsageError, "memory of one process"),
        ("unknown://pictures", UsageError, "unknown://pictures cannot be opened"),
        ("gs://bucket/in", MissingDependencyError, "gcsfs"),
    ):
        with pytest.raises(error, match=message):
            batch([url], tmp_path, pipeline=SPEC)


@pytest.mark.parametrize(
    ("source", "output"),
    [
        ("s3://archive/own", "s3://archive/own"),
        ("s3://archive/own", "s3://archive/own/"),
        ("s3://archive//own/", "s3a://archive/own"),
        ("s3://archive/own/a.png", "s3://archive/own"),
        ("s3://archive/own/*.png", "s3://archive/own"),
        ("@{folder}/files.txt", "s3://archive/own"),
        ("{folder}/in", "local://{folder}/in"),
        ("local://{folder}/in", "{folder}/link"),
    ],
)
def test_inputs_are_never_overwritten(bucket, tmp_path, source, output):
    bucket.pipe("archive/own/a.png", b"not read")
    (tmp_path / "in").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "a.png").write_bytes(b"not read")
    (tmp_path / "files.txt").write_text("s3://archive/own/a.png\n")
    with pytest.raises(UsageError, match=r"/a\.png is an input and would be overwritten; give another output folder"):
        find_files([source.format(folder=tmp_path)], output.format(folder=tmp_path))


def test_outputs_below_the_input_are_no_inputs(bucket):
    for name in ("tree/a.png", "tree/door/b.png", "tree/out/a.png", "tree/out/door/b.png", "tree/outer/c.png"):
        bucket.pipe(f"archive/{name}", b"not read")
    for source in ("s3://archive/tree", "s3://archive/tree/**/*.png"):
        found = find_files([source], "s3://archive/tree/out", recursive=True)
        assert [file.name for file in found.files] == ["a.png", "door/b.png", "outer/c.png"]


def test_a_presigned_url_is_read_and_its_signature_is_in_no_message(bucket, tmp_path):
    bucket.pipe("archive/own/a b.png", b"not read")
    url = bucket.url("archive/own/a b.png")
    assert "Signature=" in url
    (found,) = find_files([url], str(tmp_path)).files
    assert (found.source, found.name, found.output) == (url, "a b.png", "a b.png")
    bucket.pipe("archive/own/notes.txt", b"no picture")
    with pytest.raises(InputError) as raised:
        find_files([bucket.url("archive/own/notes.txt")], str(tmp_path))
    assert "notes.txt" in str(raised.value)
    assert "Signature=***" in str(raised.value)


def test_copies_from_and_to_s3_are_progress(bucket, tmp_path):
    blocks: list[None] = []
    folder = open_output("s3://archive/progress")
    (tmp_path / "a.png").write_bytes(bytes(3 << 20))
    folder.publish(tmp_path / "a.png", "a.png", lambda: blocks.append(None))
    assert blocks
    blocks.clear()
    assert folder.fetch("a.png", tmp_path / "fetched", lambda: blocks.append(None)).stat().st_size == 3 << 20
    assert len(blocks) > 2
