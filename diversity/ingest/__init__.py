"""Where pictures come from: plain and kohya folders, Hugging Face imagefolder, WebDataset tars, downloaders.

Not for decoding them: that is `decode.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diversity.ingest.source import PICTURE_SUFFIXES, Source

if TYPE_CHECKING:
    from diversity.ingest.scan import list_sources

__all__ = ["PICTURE_SUFFIXES", "Source", "list_sources"]


def __getattr__(name: str) -> Any:  # noqa: ANN401
    """Import `list_sources` when it is first asked for: who only reads sources needs neither settings nor tables."""
    if name == "list_sources":
        from diversity.ingest.scan import list_sources

        return list_sources
    raise AttributeError(f"module 'diversity.ingest' has no attribute '{name}'")
