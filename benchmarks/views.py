"""View labels judged against ground truth: KayKit long-tail sets (as captioned, half captioned, captions ignored), the
KayKit grid and the LPC sprites.

    python -m benchmarks.views [--encoder toon] [--data ../shared/data]

Prints macro accuracies ("unsure" counts as wrong; side over four sides, back three-quarter as back), planted rare
pictures in rare cells, and cells marked rare although their true distinct count is at target (true groups). Writes
benchmarks/results/views.json. Nothing of this is used for tuning.

    python -m benchmarks.views --calibrate DIR

prints, on held-out renders of the toon world (as `benchmarks.toonworld` packs them), the temperature of least loss per
axis, from which the taxonomy's `prompts.temperature` is taken.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image

from benchmarks.machine import machine
from diversity import probe, targets, taxonomy, views
from diversity.config import EncoderConfig, ViewsConfig
from diversity.encoders.base import TextEncoder

FRAMING = {"face": "headshot", "upper_body": "half_body", "full_body": "full_body", "shoes": "detail"}
FOUR = {"back_three_quarter": "back"}
PLANTED = ("full_body/back", "half_body/back")
OUT = Path(__file__).parent / "results" / "views.json"


@dataclass(frozen=True)
class Sample:
    """Pictures with truth: frame has file, caption, framing, side, group, planted; vectors float32 [n, d]."""

    name: str
    frame: pl.DataFrame
    vectors: NDArray[np.float32]


@dataclass(frozen=True)
class Outcome:
    """What one set scored; None where it does not apply."""

    name: str
    captions: str
    n: int
    framing: float | None
    side: float
    unsure: float
    mean_confidence: float
    accuracy_of_sure: float
    planted: int
    planted_in_rare: int
    false_rare: int | None


def kaykit(data: Path, encoder: TextEncoder | None) -> Iterator[Sample]:
    """The long-tail and grid sets of every character."""
    folder = data / "kaykit_views"
    rows = pl.read_csv(folder / "labels.csv").with_columns(pl.col("framing").replace_strict(FRAMING))
    for (split, character), part in rows.group_by("split", "character", maintain_order=True):
        files = [folder / file for file in part["file"]]
        captions = [f.with_suffix(".txt").read_text() if f.with_suffix(".txt").exists() else None for f in files]
        cell = pl.col("framing") + "/" + pl.col("side")
        frame = part.rename({"view": "side", "dup_group": "group"}).with_columns(caption=pl.Series(captions))
        frame = frame.with_columns(planted=cell.is_in(PLANTED) | (pl.col("framing") == "detail"))
        if split != "longtail":
            frame = frame.with_columns(planted=pl.lit(False))
        yield Sample(f"kaykit {split} {character}", frame, encode(files, encoder))


def lpc(data: Path, encoder: TextEncoder | None) -> Iterator[Sample]:
    """All sprites as one set: sides only, and only where a text side can say something."""
    folder = data / "lpc_views"
    rows = pl.read_csv(folder / "labels.csv").filter(pl.col("walk_frame") == 0)
    frame = rows.select(
        "file",
        caption=pl.lit(None, dtype=pl.String),
        framing=pl.lit("full_body"),
        side=pl.col("view").replace({"left": "side", "right": "side"}),
        group=pl.col("burst"),
        planted=pl.lit(False),
    )
    yield Sample("lpc sprites", frame, encode([folder / file for file in rows["file"]], encoder))


def encode(files: list[Path], encoder: TextEncoder | None) -> NDArray[np.float32]:
    """float32 [n, d], unit rows; one dimension of ones without an encoder."""
    if encoder is None:
        return np.ones((len(files), 1), np.float32)
    parts = []
    for start in range(0, len(files), 32):
        pictures = []
        for file in files[start : start + 32]:
            with Image.open(file) as picture:
                rgba = picture.convert("RGBA")
            white = Image.new("RGBA", rgba.size, "white")
            pictures.append(Image.alpha_composite(white, rgba).convert("RGB"))
        parts.append(encoder.encode_images(pictures))
    return np.concatenate(parts)


def macro(truth: list[str], said: list[str]) -> float:
    """Mean recall over the classes of `truth`."""
    t, s = np.array(truth), np.array(said)
    return float(np.mean([(s[t == c] == c).mean() for c in np.unique(t)]))


def judge(sample: Sample, captions: str, prompts: views.PromptBank | None) -> Outcome:
    """Label one set and score it; `captions` is "all", "half" (every second picture) or "none"."""
    keep = {"all": pl.lit(True), "half": pl.int_range(pl.len()) % 2 == 0, "none": pl.lit(False)}[captions]
    frame = sample.frame.with_columns(caption=pl.when(keep).then("caption"))
    images = frame.select(key="file", content="file", path="file", caption="caption")
    terms = taxonomy.load()
    found = views.label_views(images, sample.vectors, terms, prompts, None, ViewsConfig())
    wide = images.select("key").join(found.pivot("axis", index="key", values="label"), on="key", maintain_order="left")
    sides = [FOUR.get(s, s) for s in wide["side"]]
    true_sides = [FOUR.get(s, s) for s in frame["side"]]
    one_framing = frame["framing"].n_unique() == 1
    sure = found.filter(
        (pl.col("label") != "unsure") & (pl.col("axis").is_in(["side"] if one_framing else list(terms.axes)))
    )
    truth = {(f, a): v for a in ("framing", "side") for f, v in zip(frame["file"], frame[a], strict=True)}
    right = [truth[key, axis] == label for key, axis, label in sure.select("key", "axis", "label").iter_rows()]
    planted, rare, false = count_rare(frame, found, terms)
    return Outcome(
        sample.name,
        captions,
        len(frame),
        None if one_framing else macro(frame["framing"].to_list(), wide["framing"].to_list()),
        macro(true_sides, sides),
        float((found["label"] == "unsure").mean() or 0.0),
        float(np.mean(sure["confidence"].to_numpy())) if len(sure) else 0.0,
        float(np.mean(right)) if right else 0.0,
        planted,
        rare,
        None if one_framing else false,
    )


def count_rare(frame: pl.DataFrame, found: pl.DataFrame, terms: taxonomy.Taxonomy) -> tuple[int, int, int]:
    """(planted pictures, those in cells marked rare, cells marked rare with a true distinct count at target)."""
    keeper = dict(frame.select("group", "file").reverse().rows())
    result = targets.find(found, {f: keeper[g] for f, g in frame.select("file", "group").rows()}, terms)
    rare = {row["cell"]: row["want"] for row in result.table.iter_rows(named=True) if row["state"] == "rare"}
    planted = frame.filter("planted")["file"].to_list()
    cell = pl.col("framing") + "/" + pl.col("side")
    distinct = dict(frame.group_by(cell=cell).agg(pl.col("group").n_unique()).rows())
    false = sum(distinct.get(name, 0) >= want for name, want in rare.items())
    return len(planted), sum(result.cells[file] in rare for file in planted), false


def calibrate(folder: Path, encoder: TextEncoder, prompts: views.PromptBank) -> None:
    """Print accuracy and the best temperature of zero-shot framing and side on the toon world's held-out characters."""
    rows = pl.read_parquet(folder / "labels.parquet").filter(pl.col("split") == "held_out")
    pixels = np.load(folder / "images.npy", mmap_mode="r")
    pictures = [Image.fromarray(pixels[i]) for i in rows["index"]]
    x = np.concatenate([encoder.encode_images(pictures[i : i + 64]) for i in range(0, len(pictures), 64)])
    for axis in ("framing", "side"):
        names = taxonomy.load().axes[axis].names
        truth = np.array([names.index(label) for label in rows[axis]])
        trials = []
        for temperature in np.geomspace(0.25, 8, 41):
            p = probe.softmax(prompts.logits(axis, x.astype(np.float64), float(temperature)))
            sure = p.max(axis=1)
            loss = -np.log(p[np.arange(len(truth)), truth]).mean()
            trials.append((loss, temperature, (p.argmax(axis=1) == truth).mean(), sure.mean(), (sure < 0.6).mean()))
        at_one = min(trials, key=lambda trial: abs(trial[1] - 1))
        best = min(trials)
        said = (
            f"accuracy {best[2]:.3f}, confidence {best[3]:.3f}, unsure {best[4]:.3f}; at 1: confidence {at_one[3]:.3f}"
        )
        print(f"{axis}: n {len(truth)}, best temperature {best[1]:.2f} ({said})")


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="toon", help="an encoder model, or none")
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "data")
    parser.add_argument("--calibrate", type=Path, help="a packed folder of toon renders")
    args = parser.parse_args()
    encoder = None
    if args.encoder != "none":
        from diversity.encoders import load_encoder

        encoder = load_encoder(EncoderConfig(model=args.encoder))
    prompts = views.embed_prompts(taxonomy.load(), encoder) if encoder is not None else None
    if args.calibrate is not None:
        if encoder is None or prompts is None:
            parser.error("--calibrate needs an encoder")
        calibrate(args.calibrate, encoder, prompts)
        return
    modes = ("all", "half", "none") if encoder is not None else ("all",)
    outcomes = [
        judge(sample, mode, prompts)
        for sample in (*kaykit(args.data, encoder), *lpc(args.data, encoder))
        for mode in (modes if "longtail" in sample.name else modes[2:])
    ]
    print(f"{'set':28} captions    n  framing   side  unsure  conf/acc of sure  planted rare  false rare")
    for o in outcomes:
        framing = "   –  " if o.framing is None else f"{o.framing:6.3f}"
        false = "–" if o.false_rare is None else str(o.false_rare)
        print(
            f"{o.name:28} {o.captions:8} {o.n:4}   {framing} {o.side:6.3f}  {o.unsure:6.3f}"
            f"      {o.mean_confidence:.2f} / {o.accuracy_of_sure:.2f}"
            f"       {o.planted_in_rare}/{o.planted}          {false}"
        )
    OUT.parent.mkdir(parents=True, exist_ok=True)
    encoder_id = encoder.id if encoder is not None else None
    OUT.write_text(
        json.dumps({"machine": machine(), "encoder": encoder_id, "sets": [asdict(o) for o in outcomes]}, indent=1)
    )


if __name__ == "__main__":
    main()
