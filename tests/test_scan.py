"""The pass over the pictures: one batch size, any number of threads, nothing encoded twice."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from diversity.config import ScanConfig
from diversity.errors import EncoderError
from diversity.ingest import list_sources
from diversity.measure import measure_source
from diversity.scan import BATCH, Scanner, key_of
from diversity.scan_shards import embeddings_frame


class Tiles:
    """An encoder that knows 4×4 grey tiles, and what it was given."""

    id, name, dim, logit_scale = "tiles", "tiles", 16, 1.0

    def __init__(self) -> None:
        self.batches: list[int] = []

    def prepare(self, pixels: np.ndarray) -> np.ndarray:
        return np.asarray(Image.fromarray(pixels).resize((4, 4)))

    def encode_prepared(self, batch: np.ndarray) -> np.ndarray:
        self.batches.append(len(batch))
        rows = batch.mean(axis=3).reshape(len(batch), -1).astype(np.float32) + 1
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for i in range(2 * BATCH + 5):
        Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)).save(root / f"{i:03}.png")
    (root / "zz_copy.png").write_bytes((root / "000.png").read_bytes())
    (root / "zz_empty.jpg").write_bytes(b"")
    return root


def ready(encoder: object) -> Future:
    future: Future = Future()
    future.set_result(encoder)
    return future


def here(config: ScanConfig):
    return lambda sources: [measure_source(source, config) for source in sources]


def scan(folder: Path, encoder: Tiles, workers: int, known: frozenset[str] = frozenset()):
    config = ScanConfig(workers=workers)
    return Scanner(config, ready(encoder), known, here(config)).run(list_sources(folder, config), lambda _: None)


def test_every_batch_has_one_size_and_equal_pictures_are_encoded_once(folder: Path) -> None:
    encoder = Tiles()
    found = scan(folder, encoder, 2)
    assert encoder.batches == [BATCH] * 3
    assert len(found.vectors) == 2 * BATCH + 5
    assert len(found.rows) == 2 * BATCH + 7


def test_rows_and_vectors_do_not_depend_on_the_number_of_threads(folder: Path) -> None:
    one, four = scan(folder, Tiles(), 1), scan(folder, Tiles(), 4)
    assert one.rows == four.rows
    assert one.thumbnails == four.thumbnails
    assert one.vectors.keys() == four.vectors.keys()
    assert all(np.array_equal(one.vectors[c], four.vectors[c]) for c in one.vectors)


def test_what_is_known_is_not_encoded_again(folder: Path) -> None:
    known = frozenset(scan(folder, Tiles(), 2).vectors)
    encoder = Tiles()
    assert scan(folder, encoder, 2, known).vectors == {}
    assert encoder.batches == []


def test_pictures_wait_for_an_encoder_that_is_still_loading(folder: Path) -> None:
    late: Future = Future()
    config = ScanConfig(workers=2)
    sources = list_sources(folder, config)
    seen = []

    def advance(n: int) -> None:
        seen.append(n)
        if len(seen) == len(sources) and not late.done():
            late.set_result(Tiles())

    found = Scanner(config, late, frozenset(), here(config)).run(sources, advance)
    assert len(found.vectors) == 2 * BATCH + 5


def test_an_encoder_that_cannot_be_loaded_ends_the_scan(folder: Path) -> None:
    broken: Future = Future()
    broken.set_exception(EncoderError("no weights"))
    config = ScanConfig(workers=2)
    with pytest.raises(EncoderError, match="no weights"):
        Scanner(config, broken, frozenset(), here(config)).run(list_sources(folder, config), lambda _: None)


def test_an_empty_file_is_a_row_with_a_problem(folder: Path) -> None:
    row = next(r for r in scan(folder, Tiles(), 2).rows if r["path"] == "zz_empty.jpg")
    assert row["problem"]
    assert row["content"] is None


def test_embeddings_are_stored_by_content_in_half_precision() -> None:
    frame = embeddings_frame({"b": np.array([0.6, 0.8], np.float32), "a": np.array([1, 0], np.float32)})
    assert frame["content"].to_list() == ["a", "b"]
    assert np.allclose(frame["vector"].to_numpy(), [[1, 0], [0.6, 0.8]], atol=1e-3)
    assert embeddings_frame({}).height == 0


def test_keys_are_of_paths_not_of_content() -> None:
    assert key_of("a/1.png") != key_of("b/1.png")
    assert len(key_of("a/1.png")) == 16
