"""Pictures by words or by another picture: cosine in the encoder's space."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from diversity.errors import EncoderError, InputError
from diversity.progress import Progress, Silent
from diversity.services import Services

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from diversity.dataset import Dataset
    from diversity.encoders.base import TextEncoder
    from diversity.encoders.spec import EncoderSpec


def search(
    dataset: Dataset,
    *,
    text: str | None = None,
    image: Path | None = None,
    number: int = 10,
    progress: Progress | None = None,
) -> pl.DataFrame:
    """`path`, `similarity` (cosine) of the nearest pictures, the best first; scans first where needed.

    Raises:
        InputError: neither or both of `text` and `image` were given, or the image cannot be read.
        EncoderError: the encoder has no text side.
    """
    from diversity.index import Index, plan

    if (text is None) == (image is None):
        raise InputError("Search needs one query.", "", 'Give either "some words" or --image FILE.')
    if number < 1:
        raise InputError("At least one picture must be asked for.", f"--number is {number}.")
    progress = progress or Silent()
    dataset.run("scan", progress=progress)
    frame = dataset.usable
    vectors = dataset.vectors(frame)
    with Services(dataset) as services:
        encoder = services.encoder().result()
        query = _text(encoder, text) if text is not None else _image(dataset, encoder, Path(str(image)))
        _say_how_far_to_trust(services.spec, vectors, text is not None, progress)
    index = Index.build(vectors, plan(len(vectors), vectors.shape[1], dataset.config.index))
    rows, similarity = index.nearest(query, min(number, len(frame)))
    found: pl.DataFrame = frame[rows[0].tolist()].select("path")
    return found.with_columns(similarity=pl.Series(similarity[0], dtype=pl.Float32))


def _say_how_far_to_trust(spec: EncoderSpec, vectors: NDArray[np.float32], by_words: bool, progress: Progress) -> None:
    """Which encoder compares, and whether words mean much to it on such pictures."""
    from diversity.encoders import familiarity

    known = familiarity.of_set(vectors, spec.folder) if by_words and spec.folder is not None else None
    progress.note(f"Compared by the {spec.name}.")
    if known is not None and not known.familiar:
        progress.note(
            "It was not trained on pictures like these: what it finds by words may be wrong. --image is safer."
        )


def _text(encoder: TextEncoder, text: str) -> NDArray[np.float32]:
    if not hasattr(encoder, "encode_texts"):
        raise EncoderError(f"{encoder.name} has no text side.", "", "Search with --image, or pick a CLIP model.")
    return encoder.encode_texts([text])


def _image(dataset: Dataset, encoder: TextEncoder, image: Path) -> NDArray[np.float32]:
    from diversity.decode import BadPicture, decode

    try:
        decoded = decode(image.read_bytes(), max_pixels=dataset.config.scan.max_pixels)
    except (OSError, BadPicture) as error:
        raise InputError(f"{image} cannot be used.", f"{error}.", "Give a readable picture.") from None
    return encoder.encode_images([decoded.picture])
