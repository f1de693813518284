"""Every picture gets a label per axis of the taxonomy, with a confidence and a source; "unsure" is an answer.

Sources in order: the user, captions, a few-shot probe where enough pictures are labelled, prompts. Not for how many of
each view are wanted: that is `targets.py`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from diversity import listed, tables, workspace
from diversity.captions import Evidence, Matcher
from diversity.config import ViewsConfig
from diversity.decisions import UNDO
from diversity.errors import InputError
from diversity.taxonomy import UNSURE, Axis, Taxonomy

if TYPE_CHECKING:
    from diversity.encoders.base import TextEncoder

LABELS: tables.Schema = {"key": pl.String, "axis": pl.String, "label": pl.String}

Float = NDArray[np.float64]

_FLIP = 0.8  # an ambiguous tag takes its second meaning only where prompts and the tag together are this sure
_TRAINS = 0.85  # least confidence of a caption label that teaches the probe


@dataclass(frozen=True)
class PromptBank:
    """Text vectors of every prompt.

    Attributes:
        encoder_id: Whose space they are in.
        scale: The encoder's inverse temperature.
        vectors: axis → float32 [prompts, d], unit rows, label by label in the order of the axis; each the mean over the
            templates. An axis without prompts is absent.
        counts: axis → number of prompts of each label.
    """

    encoder_id: str
    scale: float
    vectors: dict[str, NDArray[np.float32]]
    counts: dict[str, tuple[int, ...]]

    def logits(self, axis: str, x: Float, temperature: float) -> Float:
        """Zero-shot logits [n, labels] of pictures [n, d]: log of the mean over a label's prompts of exp(scale · cos).

        A mean of probabilities rather than of vectors, so that one label may hold unlike things (shoes, hands).
        """
        each = self.scale / temperature * x @ self.vectors[axis].T.astype(np.float64)
        parts = np.split(each, np.cumsum(self.counts[axis])[:-1], axis=1)
        top = [part.max(axis=1) for part in parts]
        return np.stack([m + np.log(np.exp(p - m[:, None]).mean(axis=1)) for m, p in zip(top, parts, strict=True)], 1)


def embed_prompts(taxonomy: Taxonomy, encoder: TextEncoder, folder: Path | None = None) -> PromptBank:
    """Run the text tower over all prompts, once per encoder and prompts.

    Args:
        taxonomy: Gives templates and prompts; an axis with a label without prompts is left out.
        encoder: With a text side.
        folder: The workspace; the result is kept in `prompts/` there. None: not kept.
    """
    templates = taxonomy.prompts.templates
    asked = {name: list(axis.labels.values()) for name, axis in taxonomy.axes.items()}
    asked = {name: labels for name, labels in asked.items() if all(label.prompts for label in labels)}
    counts = {name: tuple(len(label.prompts) for label in labels) for name, labels in asked.items()}
    texts = {
        name: [[template.format(prompt) for template in templates] for label in labels for prompt in label.prompts]
        for name, labels in asked.items()
    }
    digest = hashlib.blake2b(json.dumps([texts, counts]).encode(), digest_size=8).hexdigest()
    file = folder / "prompts" / f"{encoder.id}-{digest}.npz" if folder is not None else None
    kept = _read_prompts(file, encoder.id, counts) if file is not None else None
    if kept is not None:
        return kept
    flat = list(dict.fromkeys(text for axis in texts.values() for prompt in axis for text in prompt))
    rows = dict(zip(flat, np.asarray(encoder.encode_texts(flat), np.float32), strict=True)) if flat else {}
    vectors = {
        axis: _unit(np.stack([np.mean([rows[text] for text in prompt], axis=0) for prompt in prompts]))
        for axis, prompts in texts.items()
    }
    bank = PromptBank(encoder.id, float(encoder.logit_scale), vectors, counts)
    if file is not None:
        with workspace.atomic(file) as temporary, temporary.open("wb") as stream:
            np.savez(stream, scale=np.float64(bank.scale), **vectors)  # type: ignore[arg-type]
    return bank


def _read_prompts(file: Path, encoder_id: str, counts: dict[str, tuple[int, ...]]) -> PromptBank | None:
    try:
        with np.load(file) as kept:
            return PromptBank(encoder_id, float(kept["scale"]), {axis: kept[axis] for axis in counts}, counts)
    except (OSError, ValueError, KeyError, EOFError):  # absent or damaged: made anew
        return None


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return unit.astype(np.float32)


def label_views(
    images: pl.DataFrame,
    vectors: NDArray[np.float32],
    taxonomy: Taxonomy,
    prompts: PromptBank | None,
    labels: pl.DataFrame | None,
    config: ViewsConfig,
) -> pl.DataFrame:
    """Label every picture on every axis.

    Args:
        images: One row per picture, with `key`, `content` and `caption`; rows with a `problem` are passed over.
        vectors: float32 [len(images), d], unit rows, in the order of `images`.
        taxonomy: Axes and labels.
        prompts: From `embed_prompts`; None where the encoder has no text side: what captions and labels
            do not answer is then "unsure", unless they are enough to teach a probe.
        labels: key, axis, label given by a person (`read_labels`, `decided_labels`); they always win.
        config: `captions` and `min_confidence`.

    Returns:
        `tables.VIEWS`, sorted by key, axes in the order of the taxonomy. `confidence` is the calibrated probability of
        the best label, kept where it is below `min_confidence` and the label therefore "unsure". `source` is null, and
        the confidence 0, where nothing could say anything.

    Raises:
        ValueError: vectors and images differ in number (a programming error).
    """
    if len(vectors) != len(images):
        raise ValueError(f"{len(images)} pictures but {len(vectors)} vectors")
    frame = images.with_row_index("_row")
    if "problem" in frame.columns:
        frame = frame.filter(pl.col("problem").is_null())
    frame = frame.sort("content", "key")
    x = vectors[frame["_row"].to_numpy()].astype(np.float64)
    given = _by_axis(labels)
    matcher = Matcher(taxonomy)
    said = [matcher.evidence(caption) if config.captions else {} for caption in frame["caption"].to_list()]
    rows = []
    for name, axis in taxonomy.axes.items():
        user = [given.get(name, {}).get(key) for key in frame["key"].to_list()]
        logits = None
        if prompts is not None and name in prompts.vectors:
            logits = prompts.logits(name, x, taxonomy.prompts.softening(prompts.encoder_id))
        answers = _label_axis(axis, x, logits, user, [e.get(name) for e in said])
        for key, (label, confidence, source) in zip(frame["key"].to_list(), answers, strict=True):
            sure = source == "user" or confidence >= config.min_confidence
            rows.append((key, name, label if sure else UNSURE, confidence, source))
    order = pl.DataFrame({"axis": taxonomy.axes.keys(), "_axis": range(len(taxonomy.axes))})
    views = pl.DataFrame(rows, schema=tables.VIEWS, orient="row")
    return views.join(order, on="axis", how="left").sort("key", "_axis").drop("_axis")


Answer = tuple[str, float, str | None]


def _label_axis(
    axis: Axis, x: Float, logits: Float | None, user: list[str | None], said: list[Evidence | None]
) -> list[Answer]:
    """Answers of one axis for pictures in canonical order."""
    settled = [_settled(axis, u, e, i, logits) for i, (u, e) in enumerate(zip(user, said, strict=True))]
    if all(answer is not None and answer[1] >= _TRAINS for answer in settled):
        return [answer for answer in settled if answer is not None]
    guessed = _guess(axis, x, logits, settled)
    merged: list[Answer] = []
    for answer, guess in zip(settled, guessed, strict=True):
        hint = answer is not None and answer[2] == "caption" and answer[1] < _TRAINS
        if answer is None or (hint and guess[1] > answer[1]):
            merged.append(guess)
        else:
            merged.append(answer)
    return merged


def _settled(axis: Axis, user: str | None, said: Evidence | None, i: int, logits: Float | None) -> Answer | None:
    """What a person or a caption says of picture i, or None."""
    if user is not None:
        return (user, 0.0 if user == UNSURE else 1.0, "user")
    if said is None:
        return None
    if not said.may_be or logits is None:
        return (said.label, said.confidence, "caption")
    options = (said.label, *said.may_be)
    prior = np.array([said.confidence] + [(1 - said.confidence) / len(said.may_be)] * len(said.may_be))
    columns = [axis.names.index(option) for option in options]
    seen = np.exp(logits[i, columns] - logits[i, columns].max())
    posterior = prior * seen / (prior * seen).sum()
    best = int(posterior.argmax())
    if best and posterior[best] < _FLIP:
        best = 0
    return (options[best], said.confidence if best == 0 else float(posterior[best]), "caption")


def _guess(axis: Axis, x: Float, logits: Float | None, settled: list[Answer | None]) -> list[Answer]:
    """What probe or prompts say of every picture, taught by the settled ones."""
    from diversity import probe

    teachers = np.array(
        [i for i, a in enumerate(settled) if a is not None and a[1] >= _TRAINS and a[0] in axis.labels], dtype=np.int64
    )
    base = np.zeros((len(x), len(axis.names))) if logits is None else logits
    fitted = probe.Probe(None, 1.0, 0)
    if len(teachers):
        classes = np.array([axis.names.index(settled[i][0]) for i in teachers], dtype=np.int64)
        fitted = probe.fit(x[teachers], classes, base[teachers], text=logits is not None)
    if logits is None and fitted.correction is None:
        return [(UNSURE, 0.0, None)] * len(x)
    source = "prompt" if fitted.correction is None else "probe"
    p = fitted.probabilities(x, base)
    best = p.argmax(axis=1)
    return [(axis.names[c], float(min(p[i, c], 1.0)), source) for i, c in enumerate(best)]


# labels given by people -------------------------------------------------------------------------------------------


def read_labels(file: Path, images: pl.DataFrame, taxonomy: Taxonomy, root: Path | None = None) -> pl.DataFrame:
    """Labels from a CSV → `LABELS`.

    Args:
        file: Columns `file`, `axis`, `label`, or `file` and one column per axis (empty cells say nothing). `file` is
            the path below the pictures' folder, or the bare name where it is the only one of that name.
        images: Has `key` and `path`.
        taxonomy: What labels there are; "unsure" is allowed.
        root: The pictures' folder, where `file` may hold whole paths.

    Raises:
        InputError: unreadable, columns missing, a label that the taxonomy lacks, or no file of it is in the set.
    """
    table = listed.read_csv(file)
    long = long_form(table, taxonomy)
    if long is None:
        raise InputError(
            f"{file} has the columns {', '.join(table.columns)}.",
            "Labels need 'file', 'axis' and 'label', or 'file' and a column per axis.",
            "Rename the columns.",
        )
    keys, finder = dict(images.select("path", "key").rows()), listed.Finder(images["path"].to_list(), root)
    rows = [(finder.path(name, by_name=True), axis, label) for name, axis, label in long.iter_rows()]
    known = [(keys[path], axis, label) for path, axis, label in rows if path is not None]
    if rows and not known:
        raise InputError(f"No file of {file} is in this set.", "", "Give paths relative to the pictures' folder.")
    return _checked(pl.DataFrame(known, schema=LABELS, orient="row"), taxonomy, str(file))


def long_form(table: pl.DataFrame, taxonomy: Taxonomy) -> pl.DataFrame | None:
    """`file`, `axis`, `label` of a table that has these, or `file` and a column per axis; None where it has neither.

    Cells without a label are left out; axes are spelt as in the taxonomy, whatever their case in the table.
    """
    spelt = {axis.lower(): axis for axis in taxonomy.axes}
    if {"file", "axis", "label"} <= set(table.columns):
        long = table.select("file", "axis", "label")
    elif "file" in table.columns and spelt.keys() & set(table.columns):
        axes = [name for name in spelt if name in table.columns]
        long = table.unpivot(axes, index="file", variable_name="axis", value_name="label")
    else:
        return None
    long = long.drop_nulls().with_columns(pl.col("axis", "label").str.strip_chars())
    axis = pl.col("axis").str.to_lowercase()
    long = long.with_columns(axis=axis.replace_strict(spelt, default=pl.col("axis"), return_dtype=pl.String))
    return long.filter(pl.col("label") != "")


def decided_labels(decisions: pl.DataFrame, images: pl.DataFrame, taxonomy: Taxonomy) -> pl.DataFrame:
    """Labels from `decisions.parquet` (what = "label", value = "axis=label") → `LABELS`.

    The latest wins; "undo" takes back all labels that a picture was given before, under whatever name.

    A decision holds for its key (same path) and, where no picture has that key any more, for pictures of its content.

    Raises:
        InputError: a value is not "axis=label" of the taxonomy.
    """
    told = decisions.filter(pl.col("what") == "label").select("key", "content", "value", "when").with_row_index("nr")
    present = told.join(images.select("key"), on="key", how="semi").drop("content")
    renamed = told.join(images.select("key"), on="key", how="anti").drop("key")
    renamed = renamed.join(images.select("key", "content"), on="content").select(present.columns)
    told = pl.concat([present, renamed]).sort("when", "nr")
    told = told.filter((pl.col("value") == UNDO).cum_sum(reverse=True).over("key") == 0)
    parts = pl.col("value").str.splitn("=", 2).struct
    told = told.select("key", axis=parts.field("field_0"), label=parts.field("field_1").fill_null(""))
    return _checked(told, taxonomy, "decisions")


def _checked(found: pl.DataFrame, taxonomy: Taxonomy, where: str) -> pl.DataFrame:
    for axis, label in found.select("axis", "label").unique(maintain_order=True).iter_rows():
        if axis not in taxonomy.axes:
            raise InputError(f"{where} names the axis '{axis}'.", f"There are {', '.join(taxonomy.axes)}.", "Mend it.")
        names = taxonomy.axes[axis].names
        if label not in (*names, UNSURE):
            raise InputError(f"{where} names the {axis} '{label}'.", f"There are {', '.join(names)}.", "Mend it.")
    kept = found.unique(["key", "axis"], keep="last", maintain_order=True)
    return tables.conform(kept.sort("key", "axis"), LABELS)


def _by_axis(labels: pl.DataFrame | None) -> dict[str, dict[str, str]]:
    given: dict[str, dict[str, str]] = {}
    if labels is not None:
        for key, axis, label in labels.select("key", "axis", "label").iter_rows():
            given.setdefault(axis, {})[key] = label
    return given
