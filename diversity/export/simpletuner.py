"""SimpleTuner: `multidatabackend.json`, one backend per weight and one for the text embeddings.

Not for training options: those are in its `config.json`.
"""

from __future__ import annotations

import json
from typing import Any

from diversity.export.classes import Format, Layout, WeightClass

CONFIG = "multidatabackend.json"


def _files(layout: Layout) -> dict[str, str]:
    backends: list[dict[str, Any]] = []
    for one in layout.classes:
        backends.append(_pictures(layout, one))
        if layout.control:
            backends[-1]["conditioning_data"] = f"{one.folder}-control"
            backends.append(_controls(layout, one))
    backends.append(
        {
            "id": "text-embeds",
            "type": "local",
            "dataset_type": "text_embeds",
            "default": True,
            "cache_dir": f"{layout.base}-cache/text",
        }
    )
    return {CONFIG: json.dumps(backends, indent=2, ensure_ascii=False) + "\n"}


def _pictures(layout: Layout, one: WeightClass) -> dict[str, Any]:
    """SimpleTuner's `repeats` are those after the first pass: kohya's number less one."""
    return {
        "id": one.folder,
        "type": "local",
        "dataset_type": "image",
        "instance_data_dir": layout.folder(one),
        "caption_strategy": "textfile",
        "metadata_backend": "discovery",
        "resolution": layout.resolution,
        "resolution_type": "pixel_area",
        "crop": False,
        "repeats": one.times - 1,
        "cache_dir_vae": layout.cache_folder(one),
    }


def _controls(layout: Layout, one: WeightClass) -> dict[str, Any]:
    return {
        "id": f"{one.folder}-control",
        "type": "local",
        "dataset_type": "conditioning",
        "conditioning_type": "reference_strict",
        "source_dataset_id": one.folder,
        "instance_data_dir": layout.control_folder(one),
        "caption_strategy": "textfile",
        "resolution": layout.resolution,
        "resolution_type": "pixel_area",
        "crop": False,
        "cache_dir_vae": f"{layout.base}-cache/control/{one.folder}",
    }


def _advice(layout: Layout) -> tuple[str, ...]:
    fewest = min(one.times * len(one.items) for one in layout.classes)
    return (
        f"Set `data_backend_config` to {CONFIG}.",
        "Train with train_batch_size 1 and gradient accumulation: SimpleTuner fills a batch from one folder and one "
        f"shape at a time, and the smallest folder here is shown {fewest} times per epoch.",
    )


write = Format("simpletuner", 1024, _files, _advice, twins=True).write
