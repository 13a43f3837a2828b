"""Tables of a store, the same in SQLite and PostgreSQL."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

VERSION = 2
"""Of the schema; `migrations` brings older ones to it."""

metadata = MetaData()
_ID = BigInteger().with_variant(Integer, "sqlite")  # only an INTEGER counts up in SQLite

store = Table(
    "store",
    metadata,
    Column("version", Integer, nullable=False),
    Column("identity", String(32), nullable=False),  # the same as in the folder of pictures
)
runs = Table(
    "runs",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("token", String(16), nullable=False, unique=True),  # in the names of its files
    Column("state", String(16), nullable=False),  # "running", "ended", "killed"
    Column("started_s", Double, nullable=False),
    Column("ended_s", Double),
    Column("networks", Text),  # JSON: treatment -> NetworkUse
    Column("about", Text, nullable=False),  # JSON
    sqlite_autoincrement=True,
)
cameras = Table(
    "cameras",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
)
tracks = Table(
    "tracks",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("run_id", _ID, ForeignKey("runs.id"), nullable=False),
    Column("camera_id", _ID, ForeignKey("cameras.id"), nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("first_s", Double, nullable=False),
    Column("last_s", Double, nullable=False),
    Column("frames", BigInteger, nullable=False),
    Column("ended", Boolean, nullable=False),
)
faces = Table(
    "faces",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("run_id", _ID, ForeignKey("runs.id"), nullable=False),
    Column("camera_id", _ID, ForeignKey("cameras.id")),
    Column("track_id", _ID, ForeignKey("tracks.id")),
    Column("source", Text),
    Column("frame_index", BigInteger, nullable=False),
    Column("time_s", Double, nullable=False),
    Column("clock", String(8), nullable=False),
    Column("stored_s", Double, nullable=False),
    Column("x0", Double, nullable=False),
    Column("y0", Double, nullable=False),
    Column("x1", Double, nullable=False),
    Column("y1", Double, nullable=False),
    Column("score", Double, nullable=False),
    Column("landmarks", Text, nullable=False),  # JSON
    Column("window_x0", Integer, nullable=False),
    Column("window_y0", Integer, nullable=False),
    Column("window_x1", Integer, nullable=False),
    Column("window_y1", Integer, nullable=False),
    Column("scale", Integer, nullable=False),
    Column("consistency_db", Double),
    Column("treatment", String(32), nullable=False),
    Column("reason", Text, nullable=False),
    Column("verdict", String(32), nullable=False),
    Column("side_px", Double, nullable=False),
    Column("sharpness", Double, nullable=False),
    Column("brightness", Double, nullable=False),
    Column("yaw_deg", Double),
    Column("quality", Double, nullable=False),
    Column("uncertainty_mean", Double),  # version 2, as the next
    Column("uncertainty_p90", Double),
    # Each has all columns of a question: the rows are read for what is found only.
    Index("faces_time", "time_s", "id", "camera_id", "verdict", "side_px"),
    Index("faces_camera_time", "camera_id", "time_s", "id", "verdict", "side_px"),
    Index("faces_verdict_time", "verdict", "time_s", "id", "camera_id", "side_px"),
    Index("faces_side", "side_px", "time_s", "id", "camera_id", "verdict"),
    Index("faces_stored", "stored_s"),
    Index("faces_source", "source", "frame_index"),
    Index("faces_track", "track_id"),
    Index("faces_run", "run_id", "stored_s"),
    sqlite_autoincrement=True,
)
files = Table(
    "files",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("face_id", _ID, ForeignKey("faces.id"), nullable=False),
    Column("kind", String(16), nullable=False),  # "original", "enlarged"
    Column("path", Text, nullable=False, unique=True),  # relative to the folder of pictures, with "/"
    Column("sha256", String(64), nullable=False),
    Column("bytes", BigInteger, nullable=False, server_default="0"),  # version 2
    Index("files_face", "face_id", "bytes"),
)
deletions = Table(
    "deletions",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("time_s", Double, nullable=False),
    Column("reason", Text, nullable=False),
    Column("camera", Text),
    Column("faces", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("first_id", BigInteger, nullable=False),
    Column("last_id", BigInteger, nullable=False),
    Column("oldest_s", Double, nullable=False),
    Column("newest_s", Double, nullable=False),
    Column("done", Boolean, nullable=False),
    sqlite_autoincrement=True,
)
pending_files = Table(
    "pending_files",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("deletion_id", _ID, ForeignKey("deletions.id"), nullable=False),
    Column("path", Text, nullable=False),
    Index("pending_files_deletion", "deletion_id"),
)
