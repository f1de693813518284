"""diffusion-pipe: `dataset.toml`, one directory per weight.

Not for its main configuration, which names this file under `dataset`.
"""

from __future__ import annotations

from diversity import __version__
from diversity.export.base import MANIFEST
from diversity.export.classes import Format, Layout
from diversity.export.names import quoted

CONFIG = "dataset.toml"


def _files(layout: Layout) -> dict[str, str]:
    """Whole repeats only: of a fraction diffusion-pipe shows the same first pictures again in every epoch."""
    lines = [
        f"# Written by diversity {__version__}; what each picture is and how it is weighted: {MANIFEST}",
        f"resolutions = [{layout.resolution}]",
        "enable_ar_bucket = true",
        "min_ar = 0.5",
        "max_ar = 2.0",
        "num_ar_buckets = 7",
    ]
    for one in layout.classes:
        lines += ["", "[[directory]]", f"path = {quoted(layout.folder(one))}"]
        if layout.control:
            lines.append(f"control_path = {quoted(layout.control_folder(one))}")
        lines.append(f"num_repeats = {one.times}")
    return {CONFIG: "\n".join(lines) + "\n"}


def _advice(layout: Layout) -> tuple[str, ...]:
    return (f"Set `dataset` to {CONFIG} in your training configuration.",)


write = Format("diffusion-pipe", 1024, _files, _advice, step=32).write
