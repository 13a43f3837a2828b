"""Plugin of GStreamer: found through GST_PLUGIN_PATH, see ``facesr-edge export gstreamer``.

GStreamer's loader imports this file as a module of its own, outside of the package.
"""

import sys
from importlib import import_module
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

PACKAGE = "facesr_edge"


def load_package() -> None:
    """Make the package importable: that of this file, if no path has it, as in a checkout of another name."""
    if find_spec(PACKAGE) is not None:
        return
    folder = Path(__file__).resolve().parents[4]
    spec = spec_from_file_location(PACKAGE, folder / "__init__.py", submodule_search_locations=[str(folder)])
    if spec is None or spec.loader is None:
        raise ImportError(f"{folder} is not the folder of {PACKAGE}; set PYTHONPATH: facesr-edge export gstreamer")
    module = sys.modules[PACKAGE] = module_from_spec(spec)
    spec.loader.exec_module(module)


paths = sys.path
load_package()
__gstelementfactory__ = import_module(f"{PACKAGE}.sdk.gstreamer.element").FACTORY
if sys.path is not paths:  # OpenCV replaces the list, to which GStreamer's loader keeps a pointer without a reference
    paths[:] = sys.path
    sys.path = paths
