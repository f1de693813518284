"""musubi-tuner: `dataset.toml`, one dataset with a cache of its own per weight.

Not for training options, which go on the command line.
"""

from __future__ import annotations

from diversity import __version__
from diversity.export.base import MANIFEST
from diversity.export.classes import Format, Layout
from diversity.export.names import quoted

CONFIG = "dataset.toml"


def _files(layout: Layout) -> dict[str, str]:
    lines = [
        f"# Written by diversity {__version__}; what each picture is and how it is weighted: {MANIFEST}",
        "[general]",
        f"resolution = [{layout.resolution}, {layout.resolution}]",
        'caption_extension = ".txt"',
        "enable_bucket = true",
    ]
    for one in layout.classes:
        lines += ["", "[[datasets]]", f"image_directory = {quoted(layout.folder(one))}"]
        if layout.control:
            lines.append(f"control_directory = {quoted(layout.control_folder(one))}")
        lines += [f"cache_directory = {quoted(layout.cache_folder(one))}", f"num_repeats = {one.times}"]
    return {CONFIG: "\n".join(lines) + "\n"}


def _advice(layout: Layout) -> tuple[str, ...]:
    return (f"Cache latents and text first, then train, each with --dataset_config {CONFIG}.",)


write = Format("musubi", 1024, _files, _advice, step=16).write
