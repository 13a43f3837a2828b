"""The table of ``facesr-edge eval --ablation``: a row for each number of references, below bicubic."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .screen import results

if TYPE_CHECKING:
    from ..ablation import Ablation

HEADINGS = {
    "psnr_y_db": "PSNR\nY, dB",
    "psnr_rgb_db": "\nRGB, dB",
    "ssim_y": "SSIM\nY",
    "ssim_rgb": "\nRGB",
    "vif": "VIF\nY",
    "lpips": "LPIPS\n(less)",
    "mps": "MPS\n",
    "recognition": "same\nperson",
}


def show(found: Ablation) -> None:
    """Print the table."""
    from rich.table import Table

    table = Table("references", box=None, padding=(0, 1), header_style="dim", pad_edge=False)
    for name in found.bicubic:
        table.add_column(HEADINGS.get(name, name), justify="right")
    for label, values in (("bicubic", found.bicubic), *((str(n), one) for n, one in enumerate(found.by_references))):
        table.add_row(label, *(f"{v:.3f}" if name.endswith("_db") else f"{v:.4f}" for name, v in values.items()))
    console = results()
    console.print(f"{found.model}, {found.faces} faces, a library of {found.entries} entries")
    console.print(table)
