"""What the judges are asked: which renders show an attribute, what is true of them, and their pixels as rendered and as
the toon base's autoencoder gives them back. No training here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.toonworld.camera import FRAMINGS, SIDE_EDGES, SIDES, fold_azimuth
from benchmarks.toonworld.dataset import axis_values
from benchmarks.toonworld.visible import PARTS
from training import judges

Picture = NDArray[np.uint8]
BODY = ("headshot", "half_body", "full_body")
MERGED = {  # where five are too many, and where three are
    "side": (
        (("front", "three_quarter"), ("side",), ("back_three_quarter", "back")),
        (("front", "three_quarter"), ("side", "back_three_quarter", "back")),
    )
}
OVER = ("cape", "scarf", "backpack")  # taken for the outfit that it hides
SLACK = 8.0  # degrees from a boundary of sides within which nobody is asked for the side
JITTER = 0.15  # most noise on the latents of training pictures: what a UNet draws is not what an encoder gives
BLOCK = 16


@dataclass(frozen=True)
class Rule:
    """When a picture shows an attribute: its framing, the least share of the picture that a part fills, and nothing
    `worn` over it.
    """

    framings: tuple[str, ...] = FRAMINGS
    part: str | None = None
    least: float = 0.0
    worn: tuple[str, ...] = ()


RULES = {
    "framing": Rule(),
    "side": Rule(BODY, "hair", 0.02),  # a head large enough to tell its face from its back
    "hair_colour": Rule(BODY, "hair", 0.02),
    "hair_style": Rule(BODY, "hair", 0.02),
    "outfit_kind": Rule(("half_body", "full_body"), "outfit", 0.04, OVER),
    "outfit_colour": Rule(("half_body", "full_body"), "outfit", 0.04, OVER),
    "shoes_kind": Rule(("full_body", "detail"), "shoes", 0.012),
    "shoes_colour": Rule(("full_body", "detail"), "shoes", 0.008),
    "background": Rule(("half_body", "full_body", "detail"), "background", 0.3),  # few headshots leave it so much room
}


def truths(row: Mapping[str, object], visible: NDArray[np.float32]) -> dict[str, str]:
    """The attributes that a picture shows; `visible` float [4] are the shares of `visible.PARTS`."""
    values = {**axis_values(row), "framing": str(row["framing"])}
    if row["shoes"] == "greaves" and "shoes_colour" in values:
        values["shoes_colour"] = "grey"  # the renderer draws them so, whatever their label
    found = {}
    for name, rule in RULES.items():
        share = float(visible[PARTS.index(rule.part)]) if rule.part else 1.0
        bald = name == "hair_style" and values.get(name) == "bald"  # shown by no hair at all
        bare = not any(row[thing] for thing in rule.worn)
        if name in values and bare and row["framing"] in rule.framings and (share >= rule.least or bald):
            found[name] = values[name]
    return found


@dataclass(frozen=True)
class Examples:
    """One split of a packed folder.

    Attributes:
        index: Rows of `images.npy`, int64 [n].
        targets: Class of each attribute, int64 [n] each, -1 where the picture does not show it.
        classes: Labels of each attribute.
        azimuth: float64 [n], degrees.
        characters: int64 [n].
        pixels, decoded: uint8 [all, s, s, 3]; `decoded` holds what went through the autoencoder.
        parts: uint8 [all, p, p], what each place of the picture shows (`visible.labels`).
    """

    index: NDArray[np.int64]
    targets: dict[str, NDArray[np.int64]]
    classes: dict[str, tuple[str, ...]]
    azimuth: NDArray[np.float64]
    characters: NDArray[np.int64]
    pixels: Picture
    decoded: Picture
    parts: Picture

    def pictures(self, items: NDArray[np.int64], through: bool) -> Picture:
        """As the network wants them, uint8 [len(items), s, s, 3], s = `judges.SIDE`."""
        source = self.decoded if through else self.pixels
        return np.stack([judges.fit(np.asarray(source[self.index[item]])) for item in items])


def asked(examples: Examples, name: str, labels: Collection[str] | None = None) -> NDArray[np.bool_]:
    """Which pictures are scored, [n]: those that show the attribute; the side only clear of the boundaries between
    `labels`, by default all five.
    """
    seen: NDArray[np.bool_] = examples.targets[name] >= 0
    if name == "side":
        within = [set(label.split(judges.OR)) for label in labels or SIDES]
        pairs = zip(SIDE_EDGES, pairwise(SIDES), strict=True)
        edges = [edge for edge, (near, far) in pairs if not any({near, far} <= one for one in within)]
        folded = [fold_azimuth(azimuth) for azimuth in examples.azimuth]
        seen = seen & np.array([min(abs(angle - edge) for edge in edges) >= SLACK for angle in folded])
    return seen


def readings(name: str, classes: Sequence[str]) -> list[tuple[str, ...]]:
    """Labels of `classes`, the finest first: each its own, then those of `MERGED` under one label."""
    found = [tuple(classes)]
    for groups in MERGED.get(name, ()):
        label = {each: judges.OR.join(group) for group in groups for each in group}
        found.append(tuple(label[each] for each in classes))
    return found


def read(data: Path, split: str, decoded: Path, classes: Mapping[str, tuple[str, ...]] | None = None) -> Examples:
    """The `split` of a folder that `render` and `visible` wrote; classes are those it shows, or given ones."""
    import polars as pl

    table = pl.read_parquet(data / "labels.parquet").sort("index")
    visible = np.load(data / "visible.npy")
    rows = table.to_dicts()
    chosen = [number for number, row in enumerate(rows) if split in ("all", row["split"])]
    shown = [truths(rows[number], visible[number]) for number in chosen]
    names = dict(classes or {name: tuple(sorted({s[name] for s in shown if name in s})) for name in RULES})
    targets = {
        name: np.array([labels.index(s[name]) if s.get(name) in labels else -1 for s in shown])
        for name, labels in names.items()
    }
    return Examples(
        np.array(chosen),
        targets,
        names,
        np.array([float(rows[number]["azimuth"]) for number in chosen]),
        np.array([int(rows[number]["character"]) for number in chosen]),
        np.load(data / "images.npy", mmap_mode="r"),
        np.load(decoded, mmap_mode="r"),
        np.load(data / "parts.npy", mmap_mode="r"),
    )


def decode(data: Path, vae: Path, file: Path, *, training: bool) -> None:
    """Pass renders through an autoencoder into `file`, uint8 [n, s, s, 3]. Goes on where it stopped.

    For `training`, every second picture of the training split with noise on its latents, and all held-out ones as they
    are, the others staying black; otherwise all as they are.
    """
    import polars as pl
    import torch
    from diffusers import AutoencoderKL

    table = pl.read_parquet(data / "labels.parquet").sort("index")
    held = (table["split"] == "held_out").to_numpy() | (not training)
    wanted = np.flatnonzero(held | (np.arange(len(table)) % 2 == 1))
    pixels, state = np.load(data / "images.npy", mmap_mode="r"), file.with_suffix(".done")
    if not file.exists():
        state.unlink(missing_ok=True)
        np.lib.format.open_memmap(file, "w+", np.uint8, pixels.shape)
    model = AutoencoderKL.from_pretrained(vae, torch_dtype=torch.float32).eval()
    out = np.lib.format.open_memmap(file, "r+")
    for start in range(int(state.read_text()) if state.exists() else 0, len(wanted), BLOCK):
        rows = wanted[start : start + BLOCK]
        with torch.inference_mode():
            latents = model.encode(judges.to_pixels(np.asarray(pixels[rows]))).latent_dist.mean
            for number, row in enumerate(rows):
                rng = np.random.default_rng([int(row), 606])
                noise = torch.from_numpy(rng.normal(size=latents[number].shape).astype(np.float32))
                latents[number] += (0.0 if held[row] else rng.uniform(0, JITTER)) * noise
            given = model.decode(latents).sample.clamp(-1, 1)
        out[rows] = ((given + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
        out.flush()
        state.write_text(str(start + len(rows)))
