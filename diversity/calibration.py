"""Where the line between a copy and another picture lies, for this encoder and this set.

Not for applying it: see `duplicates.py`. Positives are made: pictures of the set are cropped, shifted, resized,
recompressed, re-exposed and blurred, and encoded again. Negatives are the set's own neighbouring pictures; since the
set may be full of bursts, those that prove to be the same shot (`alignment.py`) are counted as copies first. No labels
and no captions are used.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter

from diversity.alignment import Agreement, Comparer, agreement, shot

Encode = Callable[[list[Image.Image]], NDArray[np.float32]]
Float64 = NDArray[np.float64]

SAMPLE = 16  # pictures that copies are made of
NEIGHBOURS = 4  # of each sampled picture, looked at for copies that are already in the set
LEAST = 5  # pictures below which nothing is measured
MISSED = 0.03  # share of made copies that the cosine may miss
CANDIDATES = 256  # proposals per picture that a poor encoder may cause before its line is raised
SHOT_RANGE = (0.88, 0.95)  # where the line for "same shot" may lie
SPOT_RANGE = (0.45, 0.52)
BANDWIDTH = 0.08  # of the density of log10(1 - score)


@dataclass(frozen=True)
class Calibration:
    """The lines, and what they were measured on.

    Attributes:
        threshold: cosine, -1..1; pairs at or above it are looked at as possible copies.
        same_shot: agreement score, 0..1; at or above it two pictures are the same shot. 0: not checked.
        same_spot: 0..1; a spot that disagrees more makes a variant (another expression or detail). 1: not checked.
        source: "measured", "prior" (too little to measure) or "user" (cosine given in the settings).
        copies: copies that were made and encoded.
        found: share of them at or above `threshold` and recognised as the same shot; nan without any.
        passed: share of the set's neighbouring different pictures at or above `threshold`; nan without any.
        reason: one plain sentence.
    """

    threshold: float
    same_shot: float
    same_spot: float
    source: Literal["measured", "prior", "user"]
    copies: int
    found: float
    passed: float
    reason: str


# Agreement of made copies, of frames of bursts and of different pictures on KayKit, DreamBooth, Caltech and pixel art
# (docs/duplicates.md): different ones reach 0.92 at most, copies without much movement stay above 0.95.
PRIOR = Calibration(0.90, 0.92, 0.48, "prior", 0, float("nan"), float("nan"), "")
PRIOR_UNCHECKED = Calibration(0.97, 0.0, 1.0, "prior", 0, float("nan"), float("nan"), "")


def calibrate(
    vectors: NDArray[np.float32], comparer: Comparer, encode: Encode | None, *, user: float | None = None, seed: int = 0
) -> Calibration:
    """Measure the lines on a seeded sample of the set.

    Args:
        vectors: float32 [n, d], unit rows, distinct pictures in canonical order.
        comparer: their pictures.
        encode: pictures → float32 [m, d], unit rows; None: nothing can be made and encoded.
        user: cosine from the settings; replaces the measured one, the other lines are still measured.
        seed: of the sample.
    """
    rows = _sample(len(vectors), comparer, seed)
    result = _measured(vectors, rows, comparer, encode, seed) if encode is not None and len(rows) >= LEAST else None
    if result is None:
        why = (
            "no pictures at hand"
            if not rows
            else "no encoder at hand"
            if encode is None
            else f"only {len(rows)} pictures"
        )
        base = PRIOR if rows else PRIOR_UNCHECKED
        result = replace(base, reason=f"Not measured ({why}): the usual line of {base.threshold:g} is taken.")
    if user is not None:
        result = replace(result, threshold=user, source="user", reason=f"The line of {user:g} was set by hand.")
    return result


def degrade(picture: Image.Image, rng: np.random.Generator) -> list[Image.Image]:
    """Copies as they occur in the wild: crop, shift, resize, JPEG, brightness, blur; one of each, same order."""
    picture = picture.convert("RGB")
    width, height = picture.size

    def cut(share: float) -> Image.Image:
        w, h = max(1, round(width * share)), max(1, round(height * share))
        x, y = int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1))
        return picture.crop((x, y, x + w, y + h))

    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=30)
    factor = float(rng.choice([0.78, 1.25]))
    return [
        cut(float(rng.uniform(0.82, 0.9))),
        cut(0.95),
        picture.resize((max(1, width // 2), max(1, height // 2)), Image.Resampling.LANCZOS),
        Image.open(buffer).convert("RGB"),
        ImageEnhance.Brightness(picture).enhance(factor),
        picture.filter(ImageFilter.GaussianBlur(max(width, height) / 160)),
    ]


def valley(scores: Float64, low: float, high: float, prior: float) -> float:
    """The emptiest place between `low` and `high` of a density of agreement scores, near `prior` where all is empty.

    Args:
        scores: [m], 0..1; pairs of one set, copies and others together.
    """
    places = np.linspace(low, high, 36)
    at = np.log10(1 - places)
    known = np.log10(np.clip(1 - scores[scores > 0], 1e-4, 1))
    density = np.exp(-0.5 * ((at[:, None] - known[None, :]) / BANDWIDTH) ** 2).sum(1)
    pull = ((at - np.log10(1 - prior)) / (at[0] - at[-1])) ** 2
    return round(float(places[np.argmin(density + pull)]), 3)


def _sample(n: int, comparer: Comparer, seed: int) -> list[int]:
    """Rows of up to SAMPLE pictures that are at hand, drawn without replacement."""
    order = np.random.default_rng(seed).permutation(n)[: 2 * SAMPLE]
    return sorted([int(row) for row in order if comparer.picture(int(row)) is not None][:SAMPLE])


def _measured(
    vectors: NDArray[np.float32], rows: Sequence[int], comparer: Comparer, encode: Encode, seed: int
) -> Calibration:
    made_cosine, made = _made_copies(vectors, rows, comparer, encode, seed)
    pair_cosine, pairs = _neighbouring_pairs(vectors, rows, comparer)
    scores = np.array([pair.score for pair in pairs])
    recognisable = float(np.quantile([copy.score for copy in made], MISSED))
    highest = float(np.clip(recognisable, SHOT_RANGE[0], SHOT_RANGE[1]))
    same_shot = valley(scores, SHOT_RANGE[0], highest, PRIOR.same_shot) if highest > SHOT_RANGE[0] else highest
    same_spot = round(float(np.clip(np.quantile([copy.local for copy in made], 1 - MISSED), *SPOT_RANGE)), 3)
    same = np.array([pair.score >= same_shot and pair.local <= same_spot for pair in pairs], bool)
    line = float(np.quantile(made_cosine, MISSED))
    if same.sum() >= LEAST:  # copies that the set brought along: frames of bursts differ more than made copies
        line = min(line, float(np.quantile(pair_cosine[same], MISSED)))
    line = max(line, min(_affordable(vectors, rows), float(np.median(made_cosine))))
    line = np.floor(line * 1e4) / 1e4
    kept = [c >= line and copy.score >= same_shot for c, copy in zip(made_cosine, made, strict=True)]
    return Calibration(
        threshold=float(line),
        same_shot=same_shot,
        same_spot=same_spot,
        source="measured",
        copies=len(made),
        found=float(np.mean(kept)),
        passed=float(np.mean(pair_cosine[~same] >= line)) if not same.all() else float("nan"),
        reason=f"Measured on {len(made)} copies made of {len(rows)} pictures of this set and {len(pairs)} pairs in it.",
    )


def _affordable(vectors: NDArray[np.float32], rows: Sequence[int]) -> float:
    """The cosine above which a picture has CANDIDATES others on average; -1 in a set with no more than that."""
    if len(vectors) <= CANDIDATES + 1:
        return -1.0
    similarity = np.round(vectors[list(rows)].astype(np.float64) @ vectors.T.astype(np.float64), 6).ravel()
    place = len(rows) * (CANDIDATES + 1)
    return float(np.partition(similarity, -place)[-place])


def _made_copies(
    vectors: NDArray[np.float32], rows: Sequence[int], comparer: Comparer, encode: Encode, seed: int
) -> tuple[Float64, list[Agreement]]:
    """Cosine and agreement of every made copy with its original."""
    rng = np.random.default_rng(seed)
    originals = [picture for row in rows if (picture := comparer.picture(row)) is not None]
    copies = [degrade(picture, rng) for picture in originals]
    encoded = encode([copy for group in copies for copy in group]).astype(np.float64)
    base = np.repeat(vectors[list(rows)].astype(np.float64), len(copies[0]), axis=0)
    shots = [shot(picture) for picture in originals]
    agreed = [agreement(a, shot(copy)) for a, group in zip(shots, copies, strict=True) for copy in group]
    return np.einsum("nd,nd->n", base, encoded), agreed


def _neighbouring_pairs(
    vectors: NDArray[np.float32], rows: Sequence[int], comparer: Comparer
) -> tuple[Float64, list[Agreement]]:
    """Cosine and agreement of every sampled picture with its nearest others."""
    sampled = vectors[list(rows)].astype(np.float64)
    similarity = np.round(sampled @ vectors.T.astype(np.float64), 6)
    similarity[np.arange(len(rows)), list(rows)] = -np.inf
    nearest = np.argsort(-similarity, axis=1, kind="stable")[:, : min(NEIGHBOURS, len(vectors) - 1)]
    wanted = sorted({(min(a, int(b)), max(a, int(b))) for a, line in zip(rows, nearest, strict=True) for b in line})
    checked = [(pair, comparer.compare(*pair)) for pair in wanted]
    known = [(pair, result) for pair, result in checked if result is not None]
    cosine = np.array([float(vectors[a].astype(np.float64) @ vectors[b].astype(np.float64)) for (a, b), _ in known])
    return cosine, [result for _, result in known]
