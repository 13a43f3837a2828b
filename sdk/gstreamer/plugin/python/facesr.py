"""Plugin of GStreamer: found through GST_PLUGIN_PATH, see ``facesr-edge export gstreamer``.

GStreamer's loader imports this file as a module of its own, outside of the package.
"""

from importlib import import_module

__gstelementfactory__ = import_module("facesr_edge.sdk.gstreamer.element").FACTORY
