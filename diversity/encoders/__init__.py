"""Encoders behind one seam: open_clip models, local checkpoints, and the embedded toon encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diversity.encoders.base import ImageEncoder, TextEncoder
from diversity.encoders.spec import EncoderSpec, resolve

if TYPE_CHECKING:
    from diversity.config import EncoderConfig

__all__ = ["EncoderSpec", "ImageEncoder", "TextEncoder", "load_encoder", "resolve"]


def load_encoder(config: EncoderConfig, spec: EncoderSpec | None = None) -> TextEncoder:
    """The encoder that `config` names, or the already resolved `spec`, ready to use.

    Raises:
        EncoderError: it cannot be loaded as named.
    """
    from diversity.encoders.open_clip_encoder import OpenClipEncoder

    return OpenClipEncoder(
        spec or resolve(config), config.device, allow_download=config.allow_download, batch=config.batch_size
    )
