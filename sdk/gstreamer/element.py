"""The GStreamer element ``facesr``: upscales the faces of raw video frames. The only file that imports GStreamer.

Its loader of Python plugins imports it through ``plugin/python/facesr.py``; it needs gst-python (Debian's packages
python3-gst-1.0 and gstreamer1.0-python3-plugin-loader).
"""

from __future__ import annotations

import math
import traceback
from dataclasses import asdict
from typing import Any

import gi

for _name in ("Gst", "GstBase", "GstVideo"):
    gi.require_version(_name, "1.0")
from gi.repository import GLib, GObject, Gst, GstBase, GstVideo  # noqa: E402 (after the versions)

from ...engines.errors import FacesrError, one_line  # noqa: E402
from ..pipeline.pipeline import OUTSCALES, Pipeline  # noqa: E402
from ..pipeline.results import FrameResult  # noqa: E402
from ..provenance.statement import DIGITAL_SOURCE_TYPE, STATEMENT  # noqa: E402
from .pixels import FORMATS, Layout, bgr_from_buffer, write_bgr  # noqa: E402
from .settings import Settings  # noqa: E402

Gst.init(None)

NAME = "facesr"
MAX_SIDE = 32_767
"""Pixels; the limit of most codecs and of the arithmetic of strides."""
_CAPS = Gst.Caps.from_string(
    f"video/x-raw, format=(string){{ {', '.join(FORMATS)} }}, width=(int)[1, {MAX_SIDE}], height=(int)[1, {MAX_SIDE}], "
    "framerate=(fraction)[0/1, 2147483647/1]"
)
_FLAGS = GObject.ParamFlags.READWRITE | Gst.PARAM_MUTABLE_READY
_DEFAULTS = asdict(Settings())


def _property(name: str, kind: type, text: str, low: float = 0, high: float = 0) -> tuple[Any, ...]:
    """Declaration of a property for GObject; numbers with their range."""
    limits = () if kind is str else (low, high)
    return (kind, name, text, *limits, _DEFAULTS[name.replace("-", "_")], _FLAGS)


PROPERTIES = {
    "model": _property("model", str, "Name of a model of the package, or folder of a bundle"),
    "detector": _property("detector", str, "Name of a detector, folder of a bundle, or YuNet ONNX file"),
    "engine": _property("engine", str, "Runtime: auto, tensorrt, tensorrt-rtx, openvino or onnxruntime"),
    "precision": _property("precision", str, "Precision of both networks: auto, fp32, bf16, fp16 or int8"),
    "outscale": _property("outscale", int, "Ratio of the output's size to the input's", min(OUTSCALES), max(OUTSCALES)),
    "min-face": _property("min-face", float, "Side of the smallest face of interest, pixels", 1, MAX_SIDE),
    "score": _property("score", float, "Minimum score of the detector", 0, 1),
    "threads": _property("threads", int, "CPU threads; 0 for one per core", 0, 256),
}
"""Name -> declaration for GObject; the fields of `Settings`."""


def _template(name: str, direction: Any) -> Any:
    return Gst.PadTemplate.new(name, direction, Gst.PadPresence.ALWAYS, _CAPS)


class FacesrElement(GstBase.BaseTransform):  # type: ignore[misc] # GStreamer has no type stubs
    """Upscales the faces of every frame and enlarges the frame by `outscale`.

    Timestamps, durations and flags of buffers are kept. Each face is a region of interest of the output buffer
    (`GstVideoRegionOfInterestMeta` of type "face", output pixels) with a structure "detection": confidence 0..1 and
    consistency_db. The stream gets the comment that its faces are an estimate. Errors are messages on the bus.
    """

    __gtype_name__ = "FacesrEdge"
    __gstmetadata__ = ("Face super-resolution", "Filter/Effect/Video", "Upscale the faces of frames", "facesr-edge")
    __gsttemplates__ = (_template("sink", Gst.PadDirection.SINK), _template("src", Gst.PadDirection.SRC))
    __gproperties__ = PROPERTIES

    def __init__(self) -> None:
        super().__init__()
        self._values: dict[str, Any] = dict(_DEFAULTS)
        self._pipeline: Pipeline | None = None
        self._input: Any = None
        self._output: Any = None
        self._is_marked, self._tags = False, Gst.TagList.new_empty()

    def do_get_property(self, spec: Any) -> Any:
        """Value of a property."""
        return self._values[spec.name.replace("-", "_")]

    def do_set_property(self, spec: Any, value: Any) -> None:
        """Set a property; used from the next start on."""
        self._values[spec.name.replace("-", "_")] = value

    def do_start(self) -> bool:
        """Load the networks; an error is a message on the bus."""
        self._is_marked, self._tags = False, Gst.TagList.new_empty()
        try:
            self._pipeline = Settings(**self._values).open()
        except Exception as error:
            return bool(self._fail(error, Gst.ResourceError.SETTINGS))
        return True

    def do_stop(self) -> bool:
        """Release the networks."""
        pipeline, self._pipeline = self._pipeline, None
        if pipeline is not None:
            pipeline.close()
            pipeline.detector.close()
        return True

    def do_transform_caps(self, direction: Any, caps: Any, accepted: Any) -> Any:
        """Caps of the other pad: the same format, the size times or divided by outscale."""
        scaled = Gst.Caps.new_empty()
        for index in range(caps.get_size()):
            structure = _scaled(caps.get_structure(index), self._values["outscale"], direction == Gst.PadDirection.SINK)
            if structure is not None:
                scaled.append_structure(structure)
        scaled = scaled.intersect(_CAPS)
        return scaled if accepted is None else accepted.intersect_full(scaled, Gst.CapsIntersectMode.FIRST)

    def do_get_unit_size(self, caps: Any) -> tuple[bool, int]:
        """Bytes of a frame."""
        info = GstVideo.VideoInfo.new_from_caps(caps)
        return (True, info.size) if info else (False, 0)

    def do_set_caps(self, input_caps: Any, output_caps: Any) -> bool:
        """Keep the layouts of the frames of both pads."""
        self._input = GstVideo.VideoInfo.new_from_caps(input_caps)
        self._output = GstVideo.VideoInfo.new_from_caps(output_caps)
        return bool(self._input and self._output)

    def do_sink_event(self, event: Any) -> bool:
        """Put the mark of the stream before its comment; tags without a comment pass, see `_mark`."""
        if event.type == Gst.EventType.TAG and event.parse_tag().get_scope() == Gst.TagScope.STREAM:
            self._tags = event.parse_tag()
            has_comment, comment = self._tags.get_string(Gst.TAG_COMMENT)
            if has_comment:
                self._is_marked = True
                event = Gst.Event.new_tag(_marked(self._tags, comment))
        return bool(GstBase.BaseTransform.do_sink_event(self, event))

    def _mark(self) -> None:
        """Mark a stream whose tags have no comment, before its first frame: muxers write the first comment only."""
        if not self._is_marked:
            self._is_marked = True
            self.srcpad.push_event(Gst.Event.new_tag(_marked(self._tags)))

    def do_transform(self, source: Any, target: Any) -> Any:
        """Upscale one frame; the base class copies timestamps and flags."""
        try:
            self._mark()
            result = self._upscale(source)
            assert result.frame is not None  # None only with composite=False
            with target.map(Gst.MapFlags.WRITE) as mapped:
                write_bgr(result.frame, mapped.data, _layout(target, self._output))
            _add_regions(target, result, self._values["outscale"])
        except Exception as error:
            self._fail(error, Gst.ResourceError.FAILED)
            return Gst.FlowReturn.ERROR
        return Gst.FlowReturn.OK

    def _upscale(self, source: Any) -> FrameResult:
        if self._pipeline is None:
            raise FacesrError("a frame came before the element was started; set the pipeline to PLAYING")
        with source.map(Gst.MapFlags.READ) as mapped:
            frame = bgr_from_buffer(mapped.data, _layout(source, self._input))
        return self._pipeline(frame)

    def _fail(self, error: Exception, code: Any) -> bool:
        """Post an error on the bus: one line, and for a fault of this package its traceback as debug text."""
        line = one_line(error) if isinstance(error, FacesrError) else f"{type(error).__name__}: {one_line(error)}"
        detail = "" if isinstance(error, FacesrError) else "".join(traceback.format_exception(error))
        reported = GLib.Error.new_literal(Gst.resource_error_quark(), line, int(code))
        self.post_message(Gst.Message.new_error(self, reported, detail))
        return False


def _scaled(structure: Any, outscale: int, enlarges: bool) -> Any:
    """A structure of caps for the other pad; None if no whole size corresponds to it. A range of sizes becomes any."""
    scaled = structure.copy()
    for name in ("width", "height"):
        fixed, side = structure.get_int(name)
        if not fixed:
            scaled.remove_field(name)
        elif enlarges and side * outscale <= MAX_SIDE:
            scaled.set_value(name, side * outscale)
        elif not enlarges and side % outscale == 0:
            scaled.set_value(name, side // outscale)
        else:
            return None
    return scaled


def _layout(buffer: Any, info: Any) -> Layout:
    """Layout of the frame in a buffer: of its metadata where it has its own, else of the caps."""
    own = GstVideo.buffer_get_video_meta(buffer)
    source = own or info
    return Layout(info.finfo.name, info.width, info.height, source.stride[0], source.offset[0])


def _marked(tags: Any, comment: str = "") -> Any:
    """Tags of a stream with the mark as comment, and its own comment after it in the same text."""
    marked = Gst.TagList.new_empty()
    text = f"{STATEMENT} {DIGITAL_SOURCE_TYPE} {comment}".rstrip()
    marked.add_value(Gst.TagMergeMode.REPLACE, Gst.TAG_COMMENT, text)
    return marked.merge(tags, Gst.TagMergeMode.KEEP)


def _add_regions(buffer: Any, result: FrameResult, outscale: int) -> None:
    """Add each upscaled face to a buffer as a region of interest, cut to the frame."""
    height, width = result.source.pixels.shape[:2]
    for face in result.faces:
        left, right = (outscale * min(max(float(x), 0), width) for x in face.box_xyxy[[0, 2]])
        top, bottom = (outscale * min(max(float(y), 0), height) for y in face.box_xyxy[[1, 3]])
        x, y, w, h = round(left), round(top), round(right - left), round(bottom - top)
        region = GstVideo.buffer_add_video_region_of_interest_meta(buffer, "face", x, y, w, h)
        found = Gst.Structure.new_empty("detection")
        found.set_value("confidence", face.score)
        if math.isfinite(face.consistency_db):
            found.set_value("consistency_db", face.consistency_db)
        region.add_param(found)


GObject.type_register(FacesrElement)
FACTORY = (NAME, Gst.Rank.NONE, FacesrElement)
"""For GStreamer's loader of Python plugins."""
