"""What a folder of samples cannot show, as sentences, each with what would.

Not for what it does show: that is `verdict.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from training.picking.judge import BASE, LEAST, Cell, Judged
from training.picking.material import Look, Material
from training.picking.samples import Samples


def untold(material: Material, judged: Judged, samples: Samples) -> list[str]:
    """All of them, the notes of reading first."""
    found = [*samples.notes, *_files(judged.cells)]
    looks = material.looks
    if judged.reference_at is None:
        found.append("There is one checkpoint at one weight and no base picture: nothing can be compared.")
    elif judged.reference_at != BASE:
        found.append(
            f"There is no sample at weight 0 or step 0, so changes are counted from {judged.reference_at[2]} on. "
            "Add weight 0."
        )
    found += _prompts(looks, material.training.words)
    per_prompt = Counter((look.sample.at, look.sample.weight, look.sample.asked) for look in looks)
    if max(per_prompt.values(), default=0) < LEAST:
        found.append(f"Fewer than {LEAST} seeds a prompt: variety can only be told across prompts.")
    found += _partners(judged, looks)
    if all(cell.weight is None for cell in judged.cells):
        found.append("No weight can be read: which weights work cannot be told.")
    elif one_weight(judged.cells):
        found.append("All samples have one weight: which weights work cannot be told. Add 0.5, 0.7 and 0.85.")
    if not any(look.asked for look in looks):
        found.append("No prompt asks for a view: whether backs, sides and full bodies work cannot be told.")
    if material.training.frame["family"].n_unique() < 3:
        found.append("The set holds fewer than three different pictures: likeness by the encoder says nothing.")
    return found


def one_weight(cells: Sequence[Cell]) -> bool:
    """Whether all cells have one weight."""
    return len({cell.weight for cell in cells}) == 1


def _files(cells: Sequence[Cell]) -> list[str]:
    """Files with equal pixels that were left out."""
    return [
        f"{cell.files + 1} files of {cell.at[2]} are one picture and count once."
        if cell.files == 1 or cell.files + 1 > len(cell.rows)
        else f"{cell.files} files of {cell.at[2]} are there twice and count once."
        for cell in cells
        if cell.files
    ]


def _prompts(looks: Sequence[Look], words: Sequence[str]) -> list[str]:
    """What is not known of prompts, and what follows for colours."""
    unknown = sum(look.sample.prompt is None for look in looks)
    subjects = {look.subject for look in looks}
    if False in subjects and True not in subjects and words:
        said = " or ".join(f"“{word}”" for word in words)
        return [f"No prompt asks for the subject by {said}: if that is not its word, name it with --trigger."]
    if False not in subjects:
        why = (
            "The prompts are not known"
            if unknown == len(looks)
            else "It is not known which word stands for the subject (--trigger)"
            if not words
            else "Every prompt whose words are known asks for the subject"
            if unknown
            else "Every prompt asks for the subject"
        )
        return [f"{why}: whether unrelated pictures take on the set's colours cannot be told. Add such prompts."]
    return []


def _partners(judged: Judged, looks: Sequence[Look]) -> list[str]:
    """Samples that have no equal in the reference, and those whose equal is not sure."""
    apart = [cell for cell in judged.cells if cell.rows != judged.reference]
    if not judged.reference or not apart:
        return []
    found = []
    if any(not look.sample.asked for look in looks):
        found.append(
            "Of some samples the prompt is not known: without a seed of their own they have no partner in the "
            "reference, and likeness, colours and variety are not told of them. Name the list with --prompts."
        )
    elif any(cell.likeness is None and cell.colours is None for cell in apart):
        found.append("Some samples have no partner of the same prompt and seed: their change is not measured.")
    if not judged.seeds:
        found.append(
            "Seeds are not told: samples are compared with others of their prompt, not at equal seeds, and what seeds "
            "change is part of each change."
        )
    return found
