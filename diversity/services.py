"""What stages of one run share and what is slow to start: the encoder (imports of 13 s) and the map's child process.

Both are started before they are needed, so that their start overlaps with reading the pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from diversity.encoders.spec import EncoderSpec, resolve
from diversity.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from diversity.dataset import Dataset
    from diversity.encoders.base import TextEncoder
    from diversity.ingest import Source
    from diversity.layout import LayoutWorker


class Services:
    """Lazily started helpers of one run; a context manager that ends them."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._pool = ThreadPoolExecutor(1, "encoder")
        self._encoder: Future[TextEncoder] | None = None
        self._layout: LayoutWorker | None = None
        self._stages: frozenset[str] = frozenset()
        self._spec: EncoderSpec | None = None
        self._sources: list[Source] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._layout is not None:
            self._layout.__exit__()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def expect(self, stages: Iterable[str]) -> None:
        """Remember which stages will run, so that one that finds work can start what later ones need."""
        self._stages = frozenset(stages)

    def sources(self) -> list[Source]:
        """The files of the set as they were when this run began; control pictures of an edit set are not of the set.

        Raises:
            InputError: the pictures are named as their own controls.
        """
        if self._sources is None:
            from diversity.ingest import list_sources

            found = list_sources(self._dataset.root, self._dataset.config.scan)
            control = self._dataset.config.export.control
            self._sources = found if control is None else _without(found, control, self._dataset.root)
        return self._sources

    @property
    def spec(self) -> EncoderSpec:
        """The encoder that the settings name; cheap."""
        if self._spec is None:
            self._spec = resolve(self._dataset.config.encoder)
        return self._spec

    def encoder(self) -> Future[TextEncoder]:
        """The encoder, loading in the background from the first call on."""
        if self._encoder is None:
            self._encoder = self._pool.submit(self._load)
        return self._encoder

    def deferred_encoder(self, encoder_id: str) -> TextEncoder:
        """The encoder, known by its id and loaded only when something else of it is asked for."""
        return _Deferred(encoder_id, self.encoder)

    def lay_out(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """The map of float32 [n, d], unit rows: float32 [n, 2]; by the child process where that is worth its start."""
        from diversity import layout

        if len(vectors) < layout.MIN_FOR_UMAP:
            return layout.lay_out(vectors)
        try:
            worker = self._map_worker()
            worker.submit(vectors)
            return worker.result()
        except (OSError, RuntimeError):  # the child was killed or could not start: the same map, only slower
            return layout.lay_out(vectors)

    def _map_worker(self) -> LayoutWorker:
        if self._layout is None:
            from diversity.layout import LayoutWorker

            self._layout = LayoutWorker()
        return self._layout

    def warm_up(self) -> None:
        """Called by a stage that found work: start what the rest of this run will need."""
        self.encoder()
        from diversity.layout import MIN_FOR_UMAP

        if "map" in self._stages and len(self.sources()) >= MIN_FOR_UMAP:
            self._map_worker()

    def _load(self) -> TextEncoder:
        from diversity.encoders import load_encoder

        return load_encoder(self._dataset.config.encoder, self.spec)


def _without(sources: list[Source], control: Path, root: Path) -> list[Source]:
    """The sources that do not lie in the folder `control`, whatever links lead to either."""
    if root.is_relative_to(control):
        raise InputError(
            f"The control pictures in {control} are, or hold, the pictures themselves.",
            "A target cannot be its own control.",
            "Name another folder with --control.",
        )
    folders = {source.location.parent for source in sources}
    controls = {folder for folder in folders if folder.resolve().is_relative_to(control)}
    return [source for source in sources if source.location.parent not in controls]


class _Deferred:
    """Stands for an encoder that may never be needed."""

    def __init__(self, encoder_id: str, load: Callable[[], Future[TextEncoder]]) -> None:
        self.id, self._start = encoder_id, load

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._start().result(), name)
