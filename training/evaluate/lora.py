"""One LoRA, measured: losses, memorisation, control, leak, variety, colours, weights, binding, as tidy rows.

Not for gathering what it is measured on (`sets.py`), or for files (`store.py`). Nothing of the model, the optimiser or
a random state changes, and the same call gives the same rows again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from diversity.binding import Binding
from diversity.progress import Progress, Silent
from training.evaluate import faces, grid, measures, overlaid, weights
from training.evaluate.adherence import BY, Control, Leak
from training.evaluate.blended import Blended, blended
from training.evaluate.bound import Bound, bound
from training.evaluate.drawing import Gallery, draw, wanted
from training.evaluate.drift import Drift
from training.evaluate.loss_gap import Losses, LossGap, gap
from training.evaluate.measures import Remembered
from training.evaluate.overlaid import Copies
from training.evaluate.rows import Rows
from training.evaluate.seen import Seen
from training.evaluate.sets import EvaluationSets, Material
from training.evaluate.settings import EvaluateSettings
from training.evaluate.sweep import Sweep
from training.evaluate.tagger import Tagged
from training.evaluate.variety import Variety
from training.evaluate.weights import Colours

if TYPE_CHECKING:
    from diversity.sizes import Faces
    from training.base import Base
    from training.evaluate.features import Features
    from training.evaluate.tagger import Tagger
    from training.judges import Judges
    from training.lora import Adapter


@dataclass(frozen=True)
class Tools:
    """What sees the pictures, and where work is kept.

    Attributes:
        features: The encoder in use; None: what needs one is left out.
        copies: A copy detector for memorisation; None: `features`.
        judges: Of the toon world; None: what needs them is left out.
        tagger: Sees tags in pictures of novel prompts; None: they are not looked for.
        faces: Finds faces in full-body pictures; None: heads of the toon world alone are found, see `faces`.
        cache: Folder for what the base alone gives (losses, pictures), shared by all LoRAs; None: nothing is kept.
        progress: Told what is done.
    """

    features: Features | None = None
    copies: Features | None = None
    judges: Judges | None = None
    tagger: Tagger | None = None
    faces: Faces | None = None
    cache: Path | None = None
    progress: Progress = field(default_factory=Silent)


@dataclass(frozen=True)
class Findings:
    """The results behind the rows, for sentences and pages; None where one could not be measured.

    Attributes:
        gaps: Held-out set → its loss gap.
        memory: Memorisation, with the pairs to show.
        copies: Pictures that can be laid over training pictures.
        control: "judges", "tagger", "text" → how far novel prompts are answered.
        looks: The subject's own looks, as judged.
        leak: The subject without its trigger word.
        variety: Of the seeds of a prompt.
        drift: Weight → how far unrelated pictures move.
        colours: Migration over weights.
        sweep: Usable weights.
        bindings: Tags and looks of the training set.
        bound: What bound tags drag along.
        blended: How far two characters run into one another; None where there is one.
        captions: Memorisation at captions of training pictures; None where none was drawn.
    """

    gaps: Mapping[str, LossGap]
    memory: Remembered | None
    copies: Copies | None
    control: Mapping[str, Control]
    looks: Control | None
    leak: Leak | None
    variety: Variety | None
    drift: Mapping[float, Drift]
    colours: Colours | None
    sweep: Sweep | None
    bindings: tuple[Binding, ...]
    bound: tuple[Bound, ...]
    blended: Blended | None = None
    captions: Remembered | None = None


@dataclass(frozen=True)
class Evaluation:
    """What was found.

    Attributes:
        rows: Tidy, with the columns `rows.ROWS`.
        findings: The results behind them.
        gallery: Every drawn picture, the base's too.
        judged: Attribute → label that the judges see in each of them; None without judges.
        notes: What could not be measured, and why; one sentence each.
    """

    rows: pl.DataFrame
    findings: Findings = field(repr=False)
    gallery: Gallery = field(repr=False)
    judged: Sequence[Mapping[str, str]] | None = field(repr=False)
    notes: tuple[str, ...]

    @property
    def gaps(self) -> Mapping[str, LossGap]:
        """Held-out set → its loss gap."""
        return self.findings.gaps


def evaluate_lora(
    base: Base,
    adapter: Adapter,
    sets: EvaluationSets,
    settings: EvaluateSettings | None = None,
    tools: Tools | None = None,
) -> Evaluation:
    """Measure one LoRA.

    Args:
        base: With `adapter` on it; other adapters on it are switched off meanwhile.
        adapter: The LoRA; its weight is put back.
        sets: What it is measured on.
        settings: How much is measured; None: the `full` preset.
        tools: What sees the pictures; None: only what needs none.

    Raises:
        BaseModelError: the base cannot draw.
    """
    settings, tools, rows = settings or EvaluateSettings(), tools or Tools(), Rows()
    if not sets.held_out:
        rows.note(
            "No held-out pictures are known, so the loss gap, the leak and the fidelity of views are left out: "
            "measured on training pictures they would reward copying. --held-out names a folder of such pictures."
        )
    gallery = draw(base, adapter, wanted(sets, settings), sets, settings, (tools.cache, tools.progress))
    gaps = _gaps(base, adapter, _with_prior(base, sets, gallery), settings, tools)
    for name, found in gaps.items():
        _gap_rows(name, found, rows)
    seen = Seen(gallery, sets, tools.features, tools.judges, tools.cache)
    if tools.features is None:
        rows.note("There is no encoder, so memorisation, variety, drift, leak and fidelity are left out.")
    if tools.judges is None:
        rows.note("There are no judges, which know the toon world only, so what pictures show is told by likeness.")
    findings = _find(base, adapter, seen, gaps, (settings, tools, rows))
    return Evaluation(rows.frame(), findings, gallery, seen.judged, tuple(rows.notes))


def loss_gaps(
    base: Base,
    adapter: Adapter,
    sets: EvaluationSets,
    settings: EvaluateSettings | None = None,
    tools: Tools | None = None,
) -> dict[str, LossGap]:
    """Held-out set → loss gap at the adapter's present parameters and the main weight; what a checkpoint is judged by.

    The base's losses come from the cache where they are there. `loss_gap.advise` takes several of these, by step.
    """
    return _gaps(base, adapter, sets, settings or EvaluateSettings(), tools or Tools())


def _find(
    base: Base,
    adapter: Adapter,
    seen: Seen,
    gaps: Mapping[str, LossGap],
    how: tuple[EvaluateSettings, Tools, Rows],
) -> Findings:
    settings, tools, rows = how
    weight = settings.weight
    measures.richnesses(seen, rows)
    detector = seen if tools.copies is None else Seen(seen.gallery, seen.sets, tools.copies, None, tools.cache)
    memory = measures.memory(detector, weight, rows)
    captions = measures.memory_at_captions(detector, weight, rows)
    copies = overlaid.copies(seen, settings, rows)
    tagged = None if tools.tagger is None else Tagged(tools.tagger, seen.gallery, seen.sets.trigger)
    control = measures.controls(seen, weight, rows, tagged)
    colours = weights.colours(seen, settings, rows)
    fidelity = weights.fidelities(seen, settings, rows)
    for w, some in faces.fidelities(seen, settings, tools.faces, rows).items():
        fidelity.setdefault(w, {}).update(some)
    weights.looks_by_view(seen, settings, rows)
    by = next((name for name in BY if name in control), BY[-1])
    further = {w: control if w == weight else measures.controls(seen, w, rows, tagged) for w in settings.swept}
    followed = {w: found[by] for w, found in further.items() if by in found}
    bindings, dragged = bound(base, adapter, seen, (settings, tools.cache), rows)
    return Findings(
        gaps=gaps,
        memory=memory,
        copies=copies,
        control=control,
        looks=measures.looks(seen, weight, rows),
        leak=measures.leak(seen, weight, rows),
        variety=measures.varieties(seen, weight, rows),
        drift={w: found for w in settings.swept if (found := measures.drifts(seen, w, rows)) is not None},
        colours=colours,
        sweep=weights.band(fidelity, (colours, copies, followed), rows),
        bindings=bindings,
        bound=dragged,
        blended=blended(base, adapter, seen, (settings, tools.cache), rows),
        captions=captions,
    )


def _with_prior(base: Base, sets: EvaluationSets, gallery: Gallery) -> EvaluationSets:
    """Where no unrelated pictures are given: the base's own ones of the unrelated prompts."""
    rows = [row for place in gallery.places("unrelated", 0.0) for row in gallery.rows(place)]
    if sets.prior is not None or not rows:
        return sets
    some = [gallery.pictures[row] for row in rows]
    prior = Material.of(
        base, [one.picture for one in some], [one.text for one in some], [f"prior: {one.text}" for one in some]
    )
    return replace(sets, prior=prior)


def _gaps(
    base: Base, adapter: Adapter, sets: EvaluationSets, settings: EvaluateSettings, tools: Tools
) -> dict[str, LossGap]:
    """Held-out set → gap; "" → the prior alone, where nothing is known to be held out."""
    parts = {"held_out": sets.held_out, "train": {"": sets.train} if sets.held_out else {}}
    parts["prior"] = {} if sets.prior is None else {"": sets.prior}
    chosen = {role: {name: m.spread(settings.pictures) for name, m in some.items()} for role, some in parts.items()}
    everything = [(role, name, m) for role, some in chosen.items() for name, m in some.items()]
    if not everything:
        return {}
    where = grid.grid(base, settings, [material for _, _, material in everything])
    measured = {}
    with tools.progress.task("losses", len(everything)) as advance:
        for role, name, material in everything:
            reference = grid.base_losses(base, material, where, tools.cache)
            own = grid.losses(base, adapter, material, where, settings.weight, tools.cache)
            measured[role, name] = (material, own, reference)
            advance(1)
    found = {}
    for held_out in sets.held_out or ("",):
        sides = [key for key in measured if key[0] != "held_out" or key[1] == held_out]
        found[held_out] = gap(
            Losses(
                lora=np.concatenate([measured[key][1] for key in sides]),
                base=np.concatenate([measured[key][2] for key in sides]),
                timesteps=where.levels,
                groups=np.array([group for key in sides for group in measured[key][0].groups]),
                roles=np.array([key[0] for key in sides for _ in measured[key][0].groups]),
            )
        )
    return found


def _gap_rows(name: str, found: LossGap, rows: Rows) -> None:
    if name:
        for measure, value in (("train", found.train), ("held_out", found.held_out), ("gap", found.gap)):
            rows.add(f"loss.{measure}", value, set=name)
        for band, value in found.bands.items():
            rows.add(f"loss.gap.{band}", value, set=name)
    if found.prior is not None:
        rows.add("loss.prior", found.prior, set=name)
