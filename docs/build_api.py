"""Build the API reference: one HTML page with every public name of `facesr_edge`.

    pip install '.[docs]' && python docs/build_api.py site

pdoc reads the names of `facesr_edge.__all__` from the module's `__dict__`, where the lazy `__getattr__` puts a name at
its first use. Plain `pdoc facesr_edge` lists the names without docstrings; this program resolves all of them first.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import facesr_edge
import pdoc
import pdoc.render

TEMPLATES = Path(__file__).parent / "pdoc"


def build(folder: Path) -> Path:
    """Write the reference and return the path of its page.

    Args:
        folder: where the HTML files go; made if needed.
    """
    for name in facesr_edge.__all__:
        getattr(facesr_edge, name)
    footer = f"facesr-edge {facesr_edge.__version__}"
    pdoc.render.configure(docformat="google", footer_text=footer, template_directory=TEMPLATES)
    pdoc.pdoc("facesr_edge", output_directory=folder)
    return folder / "facesr_edge.html"


def main() -> None:
    """Build the reference into the folder given on the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the HTML files go")
    print(build(parser.parse_args().folder))


if __name__ == "__main__":
    main()
