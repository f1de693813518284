"""The end of the demo: two equally large sets, both measured on pictures of neither, and one page about them."""

from __future__ import annotations

import argparse
from pathlib import Path

import polars as pl
import pytest
import toys
from sets import curated, small_set

from diversity import tables
from diversity.commands import demo
from diversity.contrast import contrast
from diversity.dataset import Dataset
from diversity.errors import SelectionError
from training.evaluate import features, stored

CELLS = ["headshot/front"] * 9 + ["full_body/side"] * 4 + ["half_body/front"] * 4 + ["unsure/front"]
GROUPS = [0, 0, 0, 1, 1, *range(5, 18)]


def viewed(folder: Path) -> Dataset:
    """Eighteen pictures of three views, two bursts among the commonest, selected from the back."""
    dataset = small_set(folder, len(CELLS), groups=GROUPS)
    keys = dataset.images.sort("path")["key"].to_list()
    rows = [
        (key, axis, label, 0.9, "prompt")
        for key, cell in zip(keys, CELLS, strict=True)
        for axis, label in zip(("framing", "side"), cell.split("/"), strict=True)
    ]
    dataset.write("views", pl.DataFrame(rows, schema=tables.VIEWS, orient="row"))
    copies = dataset.read("duplicates")
    kinds = ["copy" if i and g == GROUPS[i - 1] else "keeper" for i, g in enumerate(GROUPS)]
    like = [f"{17:016x}" if i == 16 else None for i in range(len(keys))]  # a variant of the last picture
    copies = copies.with_columns(kind=pl.Series(kinds), variant_of=pl.Series(like, dtype=pl.String))
    dataset.write("duplicates", copies)
    chosen = dataset.read("selection").with_columns(rank=17 - pl.col("rank"), weight=pl.col("rank") / 8.5)
    dataset.write("selection/default", chosen)
    return dataset


def test_both_sets_are_equally_large_and_what_is_unseen_is_in_neither(tmp_path: Path) -> None:
    dataset = viewed(tmp_path)
    found = contrast(dataset, 5, 6)
    assert (found.cell, found.of, found.pictures) == ("headshot/front", 9, 5)
    paths = dict(dataset.images.select("key", "path").iter_rows())
    group = {paths[f"{i:016x}"]: name for i, name in enumerate(GROUPS)}
    chosen = {
        name: [paths[key] for key in dataset.read(f"selection/{name}").sort("rank")["key"]]
        for name in ("curated", "monotonous")
    }
    assert chosen["monotonous"] == [f"{i:03d}.png" for i in range(5)]  # near-copies and all
    assert chosen["curated"] == [f"{i:03d}.png" for i in range(17, 12, -1)]
    assert dataset.read("selection/curated")["weight"].max() == 2.0
    used = {group[path] for paths in chosen.values() for path in paths}
    assert found.unseen
    assert not {group[path] for path in found.unseen} & used
    assert len({group[path] for path in found.unseen}) == len(found.unseen)
    assert {CELLS[int(path[:3])] for path in found.unseen} == {"headshot/front", "full_body/side"}


def test_a_variant_of_a_used_picture_is_not_unseen(tmp_path: Path) -> None:
    found = contrast(viewed(tmp_path), 1, 20)
    assert "016.png" not in found.unseen  # its like, the last picture, is the curated one
    assert "015.png" in found.unseen


def test_without_views_there_is_no_contrast(tmp_path: Path) -> None:
    dataset = viewed(tmp_path)
    dataset.write("views", dataset.read("views").with_columns(label=pl.lit("unsure")))
    with pytest.raises(SelectionError, match="No view"):
        contrast(dataset, 5, 6)


def test_the_demo_ends_with_the_paths_of_all_reports_and_the_page_about_both_runs(
    tmp_path: Path, sd1_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    dataset = viewed(tmp_path / demo.FOLDER)
    monkeypatch.setattr(features, "in_use", lambda config: toys.Toy())
    monkeypatch.setattr(
        Dataset, "run", lambda self, *_, **__: self if self.root == dataset.root else curated(self.root, self.folder)
    )
    few = ("seeds=2", "novel_seeds=1", "unrelated_seeds=1", "sweep_seeds=1", "sweep_unrelated_seeds=1", "weights=[]")
    prompts = tmp_path / "prompts.toml"
    both = '[{ words = "full body" }, { words = "smile" }]'
    prompts.write_text("".join(f"{kind} = {both}\n" for kind in ("subject", "novel", "unrelated")), encoding="utf-8")
    changes = [word for one in (*few, "steps=1", "checkpoints=1", "timesteps=3") for word in ("--set", one)]
    quick = ("--quick", "--prompts", str(prompts), *changes)
    small = ("--steps", "1", "--rank", "2", "--set", "data.bucket_step=16", "--set", "captions.variants=1")
    how = demo.Comparison(str(sd1_folder), (*small, "--batch-size", "2"), quick, pictures=5, unseen=6)
    assert demo.compare(argparse.Namespace(quiet=True), how) == 0
    lines = capsys.readouterr().out.strip().splitlines()
    page = tmp_path / demo.FOLDER / "comparison.html"
    listed = [Path(line.split("  ")[1]) for line in lines[lines.index("Reports:") + 1 :]]
    assert [path.name for path in listed] == ["report.html", "report.html", "comparison.html"]
    assert all(path.is_file() and not path.is_absolute() for path in listed)
    assert page == tmp_path / listed[-1]
    text = page.read_text(encoding="utf-8")
    assert Dataset.open(dataset.root, workspace_folder=dataset.folder).config.encoder.model == "toon"
    assert "2 runs side by side" in text
    said = [stored.read(folder) for folder in sorted((tmp_path / demo.FOLDER / "workspace" / "runs").iterdir())]
    assert [one.said["record"]["selection"] for one in said] == ["monotonous", "curated"]
    held = [set(one.real.filter(pl.col("role") == "held_out")["content"]) for one in said]
    assert held[0] == held[1]
    assert len(held[0]) == 6


def test_without_the_toon_base_it_says_so_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from importlib import resources

    monkeypatch.setattr(resources, "files", lambda name: tmp_path)
    assert not demo._can_train()
    assert capsys.readouterr().err == "No LoRA is trained: this installation has no toon base.\n"
