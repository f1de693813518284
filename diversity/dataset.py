"""Dataset: one set of pictures with its workspace; opens, reads and writes the tables, and runs stages by name.

Not for what a stage does: that is `stages.py` and the rooms it calls.
"""

from __future__ import annotations

from collections.abc import Collection
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import polars as pl

from diversity import record, tables, workspace
from diversity.config import FILE_NAME, Config
from diversity.errors import InputError, WorkspaceError
from diversity.ingest.source import shown

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from diversity.progress import Progress

SCHEMAS: dict[str, tables.Schema] = {
    "images": tables.IMAGES,
    "thumbnails": tables.THUMBNAILS,
    "neighbours": tables.NEIGHBOURS,
    "duplicates": tables.DUPLICATES,
    "views": tables.VIEWS,
    "targets": tables.TARGETS,
    "scores": tables.SCORES,
    "map": tables.MAP,
    "trainer": tables.TRAINER,
    "tags": tables.TAGS,
    "dropped": tables.DROPPED,
    "decisions": tables.DECISIONS,
}
MIRRORED = ("dropped", "selection")


class Dataset:
    """A folder of pictures and its workspace.

    Attributes:
        root: The pictures' folder.
        folder: The workspace.
        config: Settings, from `diversity.toml` and overrides.
    """

    def __init__(self, root: Path, folder: Path, config: Config) -> None:
        self.root, self.folder, self.config = root, folder, config

    @classmethod
    def open(
        cls,
        pictures: str | Path,
        *,
        workspace_folder: str | Path | None = None,
        config: Path | None = None,
        overrides: dict[str, dict[str, object]] | None = None,
        preset: str | None = None,
    ) -> Self:
        """Open a folder of pictures; its workspace is made when it is first needed.

        Args:
            pictures: The folder.
            workspace_folder: Where tables go; default `_diversity/<name>/` beside the pictures.
            config: A TOML file; default `diversity.toml` in the pictures' folder, then in the workspace.
            overrides: Settings by section and key that win over the file.
            preset: character, style, outfit or concept; default: the settings', else the last run's, else character.

        Raises:
            InputError: `pictures` is not a folder, or its name is not valid Unicode.
            ConfigError: the settings are not understood.
            WorkspaceError: the workspace is of another version, not ours, or of other pictures.
        """
        root = Path(pictures).expanduser().resolve()
        if not root.is_dir():
            raise InputError(f"{pictures} is not a folder.", "", "Give the folder that holds the pictures.")
        if shown(str(root)) != str(root):
            raise InputError(
                f"The name {shown(str(root))} is not valid Unicode.", "Tables cannot hold it.", "Rename the folder."
            )
        if workspace.is_workspace(root):
            raise InputError(f"{pictures} is a workspace.", "", "Give the folder that holds the pictures.")
        folder = Path(workspace_folder).expanduser().resolve() if workspace_folder else workspace.default_location(root)
        file = config or next((p for p in (root / FILE_NAME, folder / FILE_NAME) if p.is_file()), None)
        if preset is not None:
            overrides = {**(overrides or {}), "set": {"preset": preset}}
        settings = Config.load(file, overrides, record.preset(folder), record.control(folder, root))
        workspace.check(folder, root)
        return cls(root, folder, settings)

    # tables ------------------------------------------------------------------------------------------------------

    def path(self, table: str) -> Path:
        """Where `table` lies: "images", "selection/best", ...

        "embeddings" means those of the last scan; "selection" and "dropped" those of the selection in the settings.
        """
        if table == "embeddings":
            table = f"embeddings/{self.encoder_id}"
        return self.folder / f"{self.named(table)}.parquet"

    def named(self, table: str) -> str:
        """`table`, with the name of the selection in the settings where it is one of that selection's."""
        if table == "selection":
            return f"selection/{self.config.select.name}"
        return record.key(table, self.config.select.name) if table == "dropped" else table

    def selections(self) -> list[str]:
        """Names of the selections that were made."""
        return sorted(file.stem for file in (self.folder / "selection").glob("*.parquet"))

    def has(self, table: str) -> bool:
        """Whether `table` was written."""
        try:
            return self.path(table).is_file()
        except WorkspaceError:  # embeddings, before the first scan
            return False

    def read(self, table: str) -> pl.DataFrame:
        """One table.

        Raises:
            WorkspaceError: it was not written yet, or cannot be read.
        """
        if not self.has(table):
            raise WorkspaceError(
                f"There is no table '{table}' yet.",
                f"{self.folder} has not been through that stage.",
                "Run `diversity curate` first.",
            )
        try:
            return pl.read_parquet(self.path(table))
        except (pl.exceptions.PolarsError, OSError) as error:
            raise WorkspaceError(
                f"The table '{table}' cannot be read.", f"{error}.", f"Delete {self.path(table)} and run again."
            ) from None

    def write(self, table: str, frame: pl.DataFrame) -> None:
        """Write `table` atomically, with exactly its schema; the ones people look at get a CSV mirror."""
        base = table.split("/")[0]
        schema = tables.SELECTION if base == "selection" else SCHEMAS.get(base)
        if schema is not None:
            frame = tables.conform(frame, schema)
        buffer = BytesIO()
        frame.write_parquet(buffer)
        workspace.write_bytes(self.path(table), buffer.getvalue())
        if base in MIRRORED:
            named = frame.join(self.read("images").select("key", "path"), on="key", how="left")
            named = named.select("path", pl.exclude("path"))
            workspace.write_bytes(self.path(table).with_suffix(".csv"), named.write_csv().encode("utf-8"))

    @property
    def images(self) -> pl.DataFrame:
        """`images.parquet`, one row per file, sorted by path."""
        return self.read("images")

    @property
    def usable(self) -> pl.DataFrame:
        """Rows of `images` without a problem, in canonical order (by content, then key)."""
        return self.images.filter(pl.col("problem").is_null()).sort("content", "key")

    @property
    def encoder_id(self) -> str:
        """The id of the encoder of the last scan.

        Raises:
            WorkspaceError: nothing was scanned yet.
        """
        from diversity.stages import last_encoder

        return last_encoder(self)

    def vectors(self, frame: pl.DataFrame) -> NDArray[np.float32]:
        """Embeddings of the rows of `frame` (which has `content`): float32 [len(frame), dim], unit rows."""
        stored = self.read("embeddings")
        joined = frame.select("content").join(stored, on="content", how="left", maintain_order="left")
        column = joined["vector"]
        if column.null_count():
            raise WorkspaceError("Some pictures have no embedding.", "The scan did not end.", "Run `diversity scan`.")
        vectors = column.to_numpy().astype(np.float32)
        unit: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return unit

    # stages ------------------------------------------------------------------------------------------------------

    def run(self, *stages: str, force: Collection[str] = (), progress: Progress | None = None) -> Self:
        """Run `stages` in order, each skipped when its inputs and settings have not changed; those in `force` never."""
        from diversity.stages import run

        run(self, stages, force=force, progress=progress)
        return self

    def scan(self) -> Self:
        """Read, measure and encode the pictures → images, thumbnails, embeddings."""
        return self.run("scan")

    def dedup(self) -> Self:
        """Find copies and variants → duplicates."""
        return self.run("scan", "label", "dedup")

    def views(self) -> Self:
        """Label framing and side, find rare and missing views → views, targets."""
        return self.run("scan", "label", "dedup", "views")

    def score(self) -> Self:
        """Measure richness and coverage → scores."""
        return self.run("scan", "label", "dedup", "views", "score")

    def select(self) -> Self:
        """Choose and weight → selection/<name>, dropped."""
        return self.run("scan", "label", "dedup", "views", "select")

    def curate(self) -> Self:
        """All stages up to the exports and the report."""
        from diversity.stages import STAGES

        return self.run(*STAGES)
