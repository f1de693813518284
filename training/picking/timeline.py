"""Which samples of a folder belong to one run, and in which order its checkpoints come.

Not for reading names: that is `names.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from diversity.errors import InputError
from training.picking import names

if TYPE_CHECKING:
    from training.picking.samples import Sample

SAME = 0.02  # relative difference up to which two names tell the same number of steps an epoch


def one_run(samples: Sequence[Sample], wanted: str | None) -> tuple[list[Sample], list[str]]:
    """The samples of one run and of none, and what is said about the others: checkpoints of two runs never mix.

    Args:
        samples: All.
        wanted: Name of the run to judge; None: the only one, else the one that was made last.

    Raises:
        InputError: there is no such run, or there are several and none is known to be the last.
    """
    counts = Counter(sample.run for sample in samples if sample.run)
    listed = ", ".join(f"{run} ({n} pictures)" for run, n in sorted(counts.items()))
    if wanted is not None and wanted not in counts:
        raise InputError(f"There is no run {wanted} among the samples.", f"There are: {listed or 'none with a name'}.")
    if len(counts) < 2:
        return list(samples), []
    made = {run: max(sample.made for sample in samples if sample.run == run) for run in counts}
    if wanted is None and not all(made.values()):
        raise InputError(
            "The samples are of several runs, whose checkpoints cannot be compared.",
            f"There are: {listed}.",
            "Name the one to judge with --run.",
        )
    chosen = wanted or max(made, key=lambda run: (made[run], run))
    why = "" if wanted else ", the last one made,"
    note = f"The samples are of several runs: {listed}. Only {chosen}{why} is judged; --run NAME judges another."
    return [sample for sample in samples if sample.run in ("", chosen)], [note]


def ordered(samples: Sequence[Sample]) -> tuple[list[Sample], list[str]]:
    """The samples with epochs counted in steps where some count steps and a name tells how many steps an epoch has."""
    kinds = {sample.at[0] for sample in samples}
    if not {1, 2} <= kinds:
        return list(samples), []
    said = [names.steps_per_epoch(text) for sample in samples for text in (sample.path, sample.lora or "")]
    told = [count for count in said if count is not None]
    if not told or max(told) > (1 + SAME) * min(told):
        return list(samples), [
            "Some checkpoints count epochs, others steps, and how many steps an epoch has is not told: they cannot be "
            "ordered together, and which of them came first is not known."
        ]
    counted = [
        replace(sample, steps=round((sample.epoch or 0) * told[0])) if sample.at[0] == 1 else sample
        for sample in samples
    ]
    return counted, []
