"""Numbers of a run over its steps: one Parquet table and TensorBoard events.

Not for making them, and not for charts.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image
from torch.utils.tensorboard import SummaryWriter

from training.runs import METRICS, Run


class Metrics:
    """Collects rows (step, measure, value); on disk after `flush`.

    Args:
        run: Whose numbers.
        step: Steps already done; later rows of an interrupted run are forgotten.
    """

    def __init__(self, run: Run, step: int) -> None:
        earlier = run.read("metrics") if run.has("metrics") else pl.DataFrame(schema=METRICS)
        self._run, self._earlier = run, earlier.filter(pl.col("step") <= step)
        self._rows: list[tuple[int, str, float]] = []
        self._events = SummaryWriter(str(run.folder / "tensorboard"), purge_step=step + 1)

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers of one step."""
        for name, value in values.items():
            self._rows.append((step, name, float(value)))
            self._events.add_scalar(name.replace(".", "/"), float(value), step)

    def picture(self, step: int, name: str, file: Path) -> None:
        """A picture beside the numbers, in TensorBoard."""
        with Image.open(file) as image:
            self._events.add_image(name, np.asarray(image.convert("RGB")), step, dataformats="HWC")

    def last(self, name: str) -> float | None:
        """The newest value of one measure."""
        for _, measure, value in reversed(self._rows):
            if measure == name:
                return value
        held = self._earlier.filter(pl.col("measure") == name)["value"].to_list()
        return held[-1] if held else None

    def flush(self) -> None:
        """Write the table and the events."""
        self._run.write("metrics", pl.concat([self._earlier, pl.DataFrame(self._rows, schema=METRICS, orient="row")]))
        self._events.flush()

    def close(self) -> None:
        """Flush, and let go of the events file."""
        self.flush()
        self._events.close()
