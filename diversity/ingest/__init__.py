"""Where pictures come from: plain and kohya folders, Hugging Face imagefolder, WebDataset tars, downloaders.

Not for decoding them: that is `decode.py`.
"""

from diversity.ingest.scan import list_sources
from diversity.ingest.source import PICTURE_SUFFIXES, Source

__all__ = ["PICTURE_SUFFIXES", "Source", "list_sources"]
