"""ai-toolkit: `datasets.yaml`, the list that goes under `config.process[0].datasets` of its job file.

Not for the rest of the job file: model, network and steps are yours.
"""

from __future__ import annotations

from diversity.export import captions
from diversity.export.classes import Format, Layout
from diversity.export.names import quoted

CONFIG = "datasets.yaml"


def _files(layout: Layout) -> dict[str, str]:
    lines = ["datasets:"]
    kept = len(captions.tags(layout.options.trigger or ""))
    for one in layout.classes:
        lines.append(f"  - folder_path: {quoted(layout.folder(one))}")
        if layout.control:
            lines.append(f"    control_path: {quoted(layout.control_folder(one))}")
        lines += [
            '    caption_ext: "txt"',
            f"    num_repeats: {one.times}",
            f"    resolution: [{layout.resolution}]",
            f"    keep_tokens: {kept}",
            "    is_reg: false",
        ]
    return {CONFIG: "\n".join(lines) + "\n"}


def _advice(layout: Layout) -> tuple[str, ...]:
    shown = sum(one.times * len(one.items) for one in layout.classes)
    return (
        f"Put the list of {CONFIG} in place of `datasets` in your job file.",
        f"ai-toolkit counts steps: keep their number. With batch size 1, {shown} are one pass over these repeats.",
    )


write = Format("ai-toolkit", 1024, _files, _advice, step=32, epochs=False).write
