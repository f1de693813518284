"""The pictures of a run: the selection's and those of further folders, with captions, exposures and places in buckets.

Not for encoding them: that is `data.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import polars as pl
from PIL import Image

from diversity import decode, taxonomy
from diversity.captions import Matcher
from diversity.config import ScanConfig
from diversity.errors import InputError, SelectionError
from diversity.ingest import Source, list_sources
from training.buckets import BucketRules, Placement, place, sizes
from training.captions import Captions, Text
from training.config import DataConfig, SourceConfig, TrainConfig

if TYPE_CHECKING:
    from diversity.dataset import Dataset

SELECTION = "selection"  # name of the source that is the dataset's own


@dataclass(frozen=True)
class Picture:
    """One picture of a run.

    Attributes:
        key: Of the dataset's tables; for other folders, folder and path.
        content: Hash of the decoded pixels.
        path: Relative to its folder, for people.
        source: `SELECTION`, or the folder's name.
        file: Where its bytes come from.
        mask: File of its mask; None: none, or its own transparency.
        texts: Captions to draw from.
        plain: The caption to measure with.
        exposures: Per epoch.
        loss_weight: Factor on its loss.
        placement: Bucket and cut.
        groups: Names of the groups of near-copies it belongs to.
        flat: Whether it is a cut-out or on a flat background (claim C3).
    """

    key: str
    content: str
    path: str
    source: str
    file: Source
    mask: Path | None
    texts: tuple[Text, ...]
    plain: str
    exposures: float
    loss_weight: float
    placement: Placement
    groups: tuple[str, ...]
    flat: bool

    def decoded(self, max_pixels: int) -> decode.Decoded:
        """Its pixels.

        Raises:
            InputError: the file is gone, broken, or not what it was.
        """
        try:
            found = decode.decode(self.file.read(), max_pixels=max_pixels)
        except (OSError, decode.BadPicture) as error:
            raise InputError(f"{self.path} cannot be read.", f"{error}", "Run `diversity curate` again.") from None
        if found.content != self.content:
            raise InputError(
                f"{self.path} has changed.", "It is not the picture that was curated.", "Run `diversity curate` again."
            )
        return found

    def mask_image(self, decoded: decode.Decoded, config: DataConfig, max_pixels: int) -> Image.Image | None:
        """Where its loss counts (L); None: everywhere. An empty mask is none."""
        found = decoded.alpha if config.mask == "alpha" else None
        if self.mask is not None:
            try:
                found = decode.decode(self.mask.read_bytes(), max_pixels=max_pixels).picture.convert("L")
            except (OSError, decode.BadPicture) as error:
                raise InputError(f"The mask {self.mask} cannot be read.", f"{error}", "Mend or remove it.") from None
        return None if found is None or found.getextrema() == (0, 0) else found


def selected(dataset: Dataset, config: TrainConfig, rules: BucketRules) -> list[Picture]:
    """The pictures of the named selection, in canonical order (by content, then key); mean exposures 1.

    Raises:
        SelectionError: there is no such selection, it is empty, or older than the last scan.
        InputError: a file is gone or has changed since.
    """
    table = f"selection/{config.selection}"
    if not dataset.has(table):
        raise SelectionError(
            f"There is no selection '{config.selection}'.", "", f"Run `diversity curate {dataset.root}` first."
        )
    rows = dataset.read(table).join(dataset.images, on="key", how="left").sort("content", "key")
    if rows.is_empty() or rows["content"].null_count():
        raise SelectionError(
            f"The selection '{config.selection}' is {'empty' if rows.is_empty() else 'older than the last scan'}.",
            "",
            f"Run `diversity curate {dataset.root}` again.",
        )
    files = {source.path: source for source in list_sources(dataset.root, dataset.config.scan)}
    groups, mean = _groups(dataset), float(rows["weight"].to_numpy().mean())
    captions = Captions(config.captions, _matcher(dataset))
    masks, table_of_sizes = _masks(config.data), sizes(rules)
    pictures = []
    for row in rows.iter_rows(named=True):
        file = _unchanged(files.get(row["path"]), row)
        pictures.append(
            Picture(
                key=row["key"],
                content=row["content"],
                path=row["path"],
                source=SELECTION,
                file=file,
                mask=masks(row["path"]),
                texts=captions.texts(file.caption),
                plain=captions.plain(file.caption),
                exposures=row["weight"] / mean,
                loss_weight=1.0,
                placement=place(row["width"], row["height"], rules, table_of_sizes),
                groups=groups.get(row["key"], (row["key"],)),
                flat=bool({"cut_out", "flat_background"} & set(row["flags"] or ())),
            )
        )
    return pictures


def beside(
    dataset: Dataset, config: TrainConfig, rules: BucketRules, selection: float, note: Callable[[str], None]
) -> list[Picture]:
    """Pictures of the further folders, each folder's exposures its share of the selection's.

    Args:
        dataset: Its settings say how pictures and captions are read.
        config: Its `data.sources`; those with a share or loss weight of 0 are left out. They get no trigger.
        rules: Of the buckets.
        selection: Exposures of the selection per epoch.
        note: Told what is left out.
    """
    plain = config.captions.model_copy(update={"trigger": None, "keep_tokens": 0})
    reader = _Reader(dataset.config.scan, Captions(plain, _matcher(dataset)), rules, config.data.workers)
    found = []
    for number, source in enumerate(config.data.sources):
        if source.share and source.loss_weight:
            pictures = reader.folder(source, f"{source.kind} {number + 1}", note)
            each = source.share * selection / len(pictures)
            found += [replace(picture, exposures=each) for picture in pictures]
    return found


@dataclass(frozen=True)
class _Reader:
    """Reads folders that were not curated."""

    scan: ScanConfig
    captions: Captions
    rules: BucketRules
    workers: int | None

    def folder(self, source: SourceConfig, name: str, note: Callable[[str], None]) -> list[Picture]:
        """Its usable pictures, in canonical order."""
        folder = source.folder.expanduser()
        files = list_sources(folder, self.scan)
        with ThreadPoolExecutor(self.workers) as pool:
            read = list(pool.map(lambda file: self._picture(file, source, name), files))
        for problem in (p for p in read if isinstance(p, str)):
            note(f"{folder / problem}")
        pictures = [picture for picture in read if isinstance(picture, Picture)]
        if not pictures:
            raise InputError(f"{folder} holds no pictures.", "", "Give another folder, or leave it out.")
        return sorted(pictures, key=lambda p: (p.content, p.key))

    def _picture(self, file: Source, source: SourceConfig, name: str) -> Picture | str:
        """The picture, or why it cannot be used."""
        try:
            decoded = decode.decode(file.read(), max_pixels=self.scan.max_pixels)
        except (OSError, decode.BadPicture) as error:
            return f"{file.path} is left out: {error}"
        caption = file.caption or source.caption
        return Picture(
            key=f"{name}/{file.path}",
            content=decoded.content,
            path=file.path,
            source=name,
            file=file,
            mask=None,
            texts=self.captions.texts(caption),
            plain=self.captions.plain(caption),
            exposures=1.0,
            loss_weight=source.loss_weight,
            placement=place(decoded.width, decoded.height, self.rules),
            groups=(),
            flat=False,
        )


def _unchanged(file: Source | None, row: dict[str, object]) -> Source:
    if file is None or file.size != row["size"]:
        what = "is gone" if file is None else "has changed"
        raise InputError(f"{row['path']} {what}.", "It was there when the set was curated.", "Curate it again.")
    return file


def _groups(dataset: Dataset) -> dict[str, tuple[str, ...]]:
    """Key → its group, and for a variant the group of what it is alike to."""
    if not dataset.has("duplicates"):
        return {}
    rows = dataset.read("duplicates").select("key", "group", "variant_of")
    of = {str(key): str(group) for key, group, _ in rows.iter_rows()}
    return {key: (group, of.get(like, like)) if like else (group,) for key, group, like in rows.iter_rows()}


def _matcher(dataset: Dataset) -> Matcher:
    return Matcher(taxonomy.load(dataset.config.views.taxonomy))


def protected(dataset: Dataset, pictures: Iterable[Picture]) -> set[int]:
    """Rows of pictures of rare views, which are too few to hold any out."""
    if not (dataset.has("views") and dataset.has("targets")):
        return set()
    from diversity import targets

    rare = set(dataset.read("targets").filter(pl.col("state") == "rare")["cell"].to_list())
    groups = dict(dataset.read("duplicates").select("key", "group").iter_rows())
    cells = targets.find(dataset.read("views"), groups, taxonomy.load(dataset.config.views.taxonomy)).cells
    return {row for row, picture in enumerate(pictures) if cells.get(picture.key) in rare}


def _masks(config: DataConfig) -> Callable[[str], Path | None]:
    """Path of a picture → the file with its mask, in the folder of masks where there is one."""
    if not isinstance(config.mask, Path):
        return lambda _: None
    folder = config.mask.expanduser()
    if not folder.is_dir():
        raise InputError(f"{config.mask} is not a folder of masks.", "", "Give a folder, or 'alpha', or 'none'.")
    by_stem = {file.stem: file for file in sorted(folder.rglob("*")) if file.is_file()}
    return lambda path: by_stem.get(PurePosixPath(path).stem)
