"""What to expect of a LoRA before it is trained: from its set's richness and size and the exposures, by a ridge.

Fitted on the richness ladder, or on one's own runs. Not a promise: every forecast carries its skill on characters that
it was not fitted on, and where that skill is not surely above 0 it stays off and says why.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diversity import record, workspace
from training.evaluate import ladder
from training.evaluate.estimate import Estimate, unknown

Floats = NDArray[np.float64]

INPUTS = ("richness", "pictures", "exposures")  # all as logarithms
LEAST_LORAS, LEAST_SUBJECTS = 20, 4
LEVEL = 0.9  # of prediction intervals and of the skill's interval
ROUNDS = 2000
PENALTY = 1.0  # of the ridge, on standardised inputs: a few per cent of shrinkage at sixty LoRAs
CONTROLS = ("shuffled16", "two32", "bound16")  # arms of the ladder whose captions differ: no ordinary sets
EVALUATION = "evaluation"  # of a run's folder, as `evaluate/store.py` has it
BLOCKS = ("core", "claims", "long")


@dataclass(frozen=True)
class Target:
    """What is forecast.

    Attributes:
        name: Short.
        title: What it is, for people.
        measure, settings: Of a row's scores.
        share: How a share is told, `{}` takes it in per cent; "": it is no share, and follows the title.
    """

    name: str
    title: str
    measure: str
    settings: Mapping[str, object]
    share: str = ""


COLOURS = {"part": "colour", "prompts": "unrelated", "weight": 0.7}
TARGETS = (
    Target("gap", "loss gap on pictures from all sides", "loss.gap", {"set": "common"}),
    Target("held_out", "held-out loss against the base", "loss.held_out", {"set": "common"}),
    Target("own", "loss gap on pictures like its own", "loss.gap", {"set": "own"}),
    Target("lost", "what prompts ask for", "truth.lost", {"weight": 1.0}, "{} of what prompts ask for is lost"),
    Target(
        "colour",
        "colours of other prompts",
        "colour.towards",
        COLOURS,
        "colours of other prompts move {} of the way to the set's",
    ),
    Target("variety", "variety", "variety.ratio", {"weight": 1.0}, "{} of the base's variety stays"),
)


@dataclass(frozen=True)
class Inputs:
    """A set and a plan.

    Attributes:
        richness: Vendi score of order 1 of its pictures.
        pictures: How many.
        exposures: Pictures shown in all: steps × pictures per step; None: as in the LoRAs it was fitted on.
    """

    richness: float
    pictures: int
    exposures: float | None = None


@dataclass(frozen=True)
class Expected:
    """One forecast.

    Attributes:
        value, low, high: With a 90 % prediction interval: where a single LoRA will lie, not a mean.
        outside: Inputs that lie outside those it was fitted on; there it guesses.
    """

    value: float
    low: float
    high: float
    outside: tuple[str, ...]


@dataclass(frozen=True)
class Model:
    """A straight line in the logarithms of the inputs.

    Attributes:
        target: What is forecast.
        slopes: Change of the target when an input is multiplied by e; inputs that did not vary are left out.
        middle: Input → mean logarithm.
        level: The target at the middle.
        half: Half the width of the prediction interval.
        skill: 1 - squared error / that of the mean, on subjects left out; interval over subjects.
        ranges: Input → least and largest.
        typical: Median exposures.
        loras, subjects: It was fitted on.
        reason: Why it is off; "" where it is on.
    """

    target: Target
    slopes: Mapping[str, float]
    middle: Mapping[str, float]
    level: float
    half: float
    skill: Estimate
    ranges: Mapping[str, tuple[float, float]]
    typical: float
    loras: int
    subjects: int
    reason: str = ""

    @property
    def on(self) -> bool:
        """Whether it may be shown."""
        return not self.reason

    def at(self, inputs: Inputs) -> Expected:
        """What to expect of one set.

        Raises:
            ValueError: it is off.
        """
        if not self.on:
            raise ValueError(f"this forecast is off: {self.reason}")
        exposures = self.typical if inputs.exposures is None else inputs.exposures
        given = dict(zip(INPUTS, (inputs.richness, float(inputs.pictures), exposures), strict=True))
        value = self.level + sum(
            slope * (math.log(given[name]) - self.middle[name]) for name, slope in self.slopes.items()
        )
        outside = tuple(
            name for name, (low, high) in self.ranges.items() if not low * 0.999 <= given[name] <= high * 1.001
        )
        return Expected(value, value - self.half, value + self.half, outside)

    def sentence(self, expected: Expected) -> str:
        """In plain words."""
        numbers = [expected.value, expected.low, expected.high]
        value, low, high = (_percent(n) if self.target.share else f"{n:+.2f}".replace("-", "−") for n in numbers)
        words = self.target.share or f"{self.target.title}: {{}}"
        return words.format(f"{value} ({low} to {high})")

    def trust(self) -> str:
        """How good it is, in plain words."""
        told = _told(self.skill)
        return f"explains {told} of how LoRAs differ, on subjects it has not seen ({self.subjects} subjects)"


@dataclass(frozen=True)
class Example:
    """One LoRA to learn from.

    Attributes:
        subject: What is left out together: a character, or a folder of pictures.
        encoder: Id of what measured its richness.
        logs: [3] logarithms of `INPUTS`.
        scores: Its scores.
    """

    subject: str
    encoder: str
    logs: Floats
    scores: Sequence[Mapping[str, Any]] = field(repr=False)


def examples(rows: Iterable[Mapping[str, Any]]) -> list[Example]:
    """The LoRAs of a ladder, or of one's own runs (`rows_of_runs`), that were trained in the ordinary way."""
    found = []
    for row in rows:
        if row.get("block", BLOCKS[0]) not in BLOCKS or row.get("arm") in CONTROLS or "problem" in row:
            continue
        rich = _score(row["scores"], "richness.vendi_1", {})
        if rich is None or not row.get("steps"):
            continue
        told = json.loads(rich["settings"])
        shown = float(row["steps"]) * float(row.get("batch", 1))
        values = (float(rich["value"]), float(row["n"]), shown)
        if min(values) > 0:
            encoder = str(told.get("encoder") or told.get("features") or "")
            found.append(Example(str(row["character"]), encoder, np.log(np.array(values)), row["scores"]))
    return found


def models(found: Sequence[Example], encoder: str | None = None) -> list[Model]:
    """One for each target.

    Args:
        found: To fit on.
        encoder: Whose richness it is to be asked with; examples of other encoders do not count. None: any.
    """
    same = [one for one in found if encoder in (None, one.encoder)]
    why = ""
    if found and not same:
        why = "richness was measured there with another encoder, and numbers of different encoders are not comparable"
    return [fit(same, target, why) for target in TARGETS]


@dataclass(frozen=True)
class Fitted:
    """The models that a set is asked about.

    Attributes:
        own: Whether they were fitted on the user's own runs; else on the ladder.
        models: One for each target that was measured; none where there is nothing to learn from.
    """

    own: bool
    models: tuple[Model, ...]


def around(folder: Path, encoder: str | None = None) -> Fitted:
    """Fitted on one's own runs (`own_runs`) where they are enough to fit on, else on the ladder of the package.

    Runs and ladder are never mixed: they are of other bases and settings.

    Args:
        folder: A workspace.
        encoder: See `models`.
    """
    own = examples(rows_of_runs(own_runs(folder)))
    usable = [one for one in own if encoder in (None, one.encoder)]
    enough = len(usable) >= LEAST_LORAS and len({one.subject for one in usable}) >= LEAST_SUBJECTS
    rungs = [] if enough else examples(ladder.read())
    found = models(rungs or own, encoder) if rungs or own else []
    return Fitted(not rungs, tuple([model for model in found if model.loras] or found))


def own_runs(folder: Path) -> list[Path]:
    """Evaluated runs of the workspace `folder`, and of the workspaces that lie beside it in one `_diversity` folder."""
    beside = folder.parent.name == workspace.FOLDER and folder.parent.is_dir()
    places = sorted(folder.parent.iterdir()) if beside else [folder]
    return [file.parents[1] for place in places for file in sorted(place.glob(f"runs/*/{EVALUATION}/scores.parquet"))]


def evidence(folder: Path) -> list[str]:
    """What a forecast is made from, as hashes: it changes when the ladder or an evaluated run does."""
    files = [run / EVALUATION / "scores.parquet" for run in own_runs(folder)]
    return [record.file_hash(file) for file in (ladder.FILE, *files) if file.is_file()]


def rows_of_runs(folders: Iterable[Path]) -> list[dict[str, Any]]:
    """Evaluated runs as rows: `run.json` and the evaluation's scores of each folder; those without, or with what cannot
    be read, are passed over.

    The held-out pictures of a run are drawn like its own set, so its loss gap is the one called "own".
    """
    import polars as pl

    found = []
    for folder in folders:
        about, scores = folder / "run.json", folder / EVALUATION / "scores.parquet"
        if not (about.is_file() and scores.is_file()):
            continue
        try:
            told = json.loads(about.read_text(encoding="utf-8"))
            settings, data = told.get("settings", {}), told.get("data", {})
            rows = [_as_own(score) for score in pl.read_parquet(scores, glob=False).to_dicts()]
        except (OSError, ValueError, KeyError, TypeError, AttributeError, pl.exceptions.PolarsError):
            continue
        found.append(
            {
                "id": folder.name,
                "character": str(told.get("pictures", folder.name)),
                "n": int(data.get("train", 0)),
                "steps": int(told.get("step") or settings.get("steps") or 0),
                "batch": int(settings.get("batch_size", 1)) * int(settings.get("accumulate", 1)),
                "scores": rows,
            }
        )
    return found


def fit(found: Sequence[Example], target: Target, why_off: str = "") -> Model:
    """A ridge regression, cross-validated by subject.

    The prediction interval is the (1 + n) × `LEVEL`-th smallest absolute error on subjects left out (split conformal
    prediction, Lei et al. 2018, with left-out subjects in place of a calibration set).
    """
    known = [
        (one, float(score["value"])) for one in found if (score := _score(one.scores, target.measure, target.settings))
    ]
    x = np.array([one.logs for one, _ in known]).reshape(len(known), len(INPUTS))
    y, who = np.array([value for _, value in known]), np.array([one.subject for one, _ in known])
    subjects = len(np.unique(who))
    if why_off or len(y) < LEAST_LORAS or subjects < LEAST_SUBJECTS:
        few = f"it takes {LEAST_LORAS} LoRAs of {LEAST_SUBJECTS} subjects; there are {len(y)} of {subjects}"
        return _off(target, why_off or few, len(y), subjects)
    varied = np.ptp(x, axis=0) > 1e-9
    errors, of_mean = _left_out(x[:, varied], y, who)
    skill = _skill(errors, of_mean, who)
    level, slopes = _ridge(x[:, varied], y)
    reason = ""
    if not skill.above(0):
        reason = f"on subjects it has not seen it is not surely better than the mean: skill {_told(skill)}"
    rank = min(len(errors), math.ceil((1 + len(errors)) * LEVEL))
    names = [name for name, some in zip(INPUTS, varied.tolist(), strict=True) if some]
    ranges = {name: (math.exp(x[:, i].min()), math.exp(x[:, i].max())) for i, name in enumerate(INPUTS)}
    return Model(
        target=target,
        slopes=dict(zip(names, slopes.tolist(), strict=True)),
        middle={name: float(x[:, i].mean()) for i, name in enumerate(INPUTS)},
        level=level,
        half=float(np.sort(np.abs(errors))[rank - 1]),
        skill=skill,
        ranges=ranges,
        typical=float(np.exp(np.median(x[:, INPUTS.index("exposures")]))),
        loras=len(y),
        subjects=subjects,
        reason=reason,
    )


def _ridge(x: Floats, y: Floats) -> tuple[float, Floats]:
    """Level at the mean of `x`, and slopes [columns]."""
    from sklearn.linear_model import Ridge

    scale = x.std(axis=0)
    scale[scale == 0] = 1.0
    model = Ridge(alpha=PENALTY).fit((x - x.mean(axis=0)) / scale, y)
    slopes: Floats = np.asarray(model.coef_, np.float64) / scale
    return float(model.intercept_), slopes


def _left_out(x: Floats, y: Floats, who: NDArray[np.str_]) -> tuple[Floats, Floats]:
    """Errors [n] of the ridge and of the mean, each on a subject that it was not fitted on."""
    errors, of_mean = np.zeros(len(y)), np.zeros(len(y))
    for name in np.unique(who):
        out = who == name
        level, slopes = _ridge(x[~out], y[~out])
        errors[out] = y[out] - (level + (x[out] - x[~out].mean(axis=0)) @ slopes)
        of_mean[out] = y[out] - y[~out].mean()
    return errors, of_mean


def _skill(errors: Floats, of_mean: Floats, who: NDArray[np.str_]) -> Estimate:
    """1 - squared errors / those of the mean, with an interval over resampled subjects."""
    names = np.unique(who)
    own = np.array([(errors[who == name] ** 2).sum() for name in names])
    mean = np.array([(of_mean[who == name] ** 2).sum() for name in names])
    if mean.sum() <= 0:
        return unknown("subjects", "the target does not vary", len(names))
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(names), size=(ROUNDS, len(names)))
    below = np.maximum(mean[drawn].sum(axis=1), 1e-300)
    low, high = np.quantile(1 - own[drawn].sum(axis=1) / below, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return Estimate(float(1 - own.sum() / mean.sum()), float(low), float(high), len(names), "subjects")


def _told(skill: Estimate) -> str:
    return f"{_percent(skill.value)} ({_percent(skill.low)} to {_percent(skill.high)})"


def _percent(share: float) -> str:
    return f"{share:.0%}".replace("%", " %").replace("-", "−")


def _off(target: Target, reason: str, loras: int, subjects: int) -> Model:
    nothing = unknown("subjects", reason, subjects)
    return Model(target, {}, {}, math.nan, math.nan, nothing, {}, math.nan, loras, subjects, reason)


def _score(
    scores: Iterable[Mapping[str, Any]], measure: str, settings: Mapping[str, object]
) -> Mapping[str, Any] | None:
    """The first score of a measure whose settings agree and whose value is known."""
    for score in scores:
        if score["measure"] == measure and score["value"] is not None and math.isfinite(score["value"]):
            own = json.loads(score["settings"])
            if all(own.get(key) == value for key, value in settings.items()):
                return score
    return None


def _as_own(score: Mapping[str, Any]) -> dict[str, Any]:
    """A run's score with its held-out set called "own"."""
    settings = json.loads(score["settings"])
    if score["measure"].startswith("loss.") and "set" in settings:
        settings["set"] = "own"
    return {**score, "settings": json.dumps(settings, sort_keys=True)}
