"""Latents and text states on disk, keyed by all that makes them; the last used ones stay in memory.

Not for what is encoded: `data.py` says that. A file whose stored key is not the wanted one, or that cannot be read, is
as good as absent: it is made again.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from diversity import record, workspace
from training.base import Base, TextStates

VERSION = 1  # of what is stored; a change makes every file stale
MEMORY = 1 << 30  # bytes kept in memory per shelf
TEXTS = 16  # encoded at a time

Key = Mapping[str, object]
Tensors = dict[str, torch.Tensor]


class Shelf:
    """Tensors by key.

    Args:
        folder: Where the files lie; made when first needed.
        memory: Bytes of the last used ones that are kept in memory.
    """

    def __init__(self, folder: Path, memory: int = MEMORY) -> None:
        self._folder, self._room = folder, memory
        self._held: OrderedDict[str, Tensors] = OrderedDict()
        self.held = 0  # bytes in memory

    def get(self, key: Key) -> Tensors | None:
        """What was put under `key`; None where there is nothing, or nothing whole."""
        name = record.digest([VERSION, dict(key)])
        if name in self._held:
            self._held.move_to_end(name)
            return self._held[name]
        try:
            with safe_open(self.path(key), "pt") as file:
                if (file.metadata() or {}).get("key") != _text(key):
                    return None
                found = {field: file.get_tensor(field) for field in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError):
            return None
        self._hold(name, found)
        return found

    def put(self, key: Key, tensors: Tensors) -> None:
        """Keep `tensors` (on the CPU) under `key`."""
        with workspace.atomic(self.path(key)) as temporary:
            save_file({name: value.contiguous() for name, value in tensors.items()}, temporary, {"key": _text(key)})
        self._held.pop(record.digest([VERSION, dict(key)]), None)

    def path(self, key: Key) -> Path:
        """Where the file of `key` lies."""
        name = record.digest([VERSION, dict(key)])
        return self._folder / name[:2] / f"{name}.safetensors"

    def _hold(self, name: str, tensors: Tensors) -> None:
        size = _size(tensors)
        if size > self._room:
            return
        self._held[name] = tensors
        self.held += size
        while self.held > self._room:
            _, dropped = self._held.popitem(last=False)
            self.held -= _size(dropped)


class TextCache:
    """Text states by text, under one frozen text encoder.

    Args:
        base: Encodes what is not there yet.
        windows: Text windows of every text.
        shelf: Where states are kept.
    """

    def __init__(self, base: Base, windows: int, shelf: Shelf) -> None:
        self._base, self._windows, self._shelf = base, windows, shelf

    def prepare(self, texts: Sequence[str]) -> int:
        """Encode and keep on disk what is missing; how many that were."""
        missing = [text for text in dict.fromkeys(texts) if self._shelf.get(self.key(text)) is None]
        for start in range(0, len(missing), TEXTS):
            for text, kept in self._encode(missing[start : start + TEXTS]).items():
                self._shelf.put(self.key(text), kept)
        return len(missing)

    def states(self, texts: Sequence[str]) -> TextStates:
        """States of `texts`, on the CPU; those that were not prepared are encoded and not kept."""
        known = {text: self._shelf.get(self.key(text)) for text in dict.fromkeys(texts)}
        fresh = self._encode([text for text, held in known.items() if held is None])
        found = [known[text] or fresh[text] for text in texts]
        pooled = torch.stack([f["pooled"] for f in found]) if "pooled" in found[0] else None
        return TextStates(torch.stack([f["states"] for f in found]), pooled)

    def _encode(self, texts: Sequence[str]) -> dict[str, Tensors]:
        if not texts:
            return {}
        with torch.no_grad():
            states = self._base.encode_prompts(texts, windows=self._windows).to("cpu")
        found = {text: {"states": states.states[row].clone()} for row, text in enumerate(texts)}
        if states.pooled is not None:
            for row, text in enumerate(texts):
                found[text]["pooled"] = states.pooled[row].clone()
        return found

    def key(self, text: str) -> Key:
        """All that makes the states of a text."""
        kind = {"base": self._base.fingerprint, "dtype": str(self._base.dtype), "windows": self._windows}
        return {"text": text, **kind}


def _size(tensors: Tensors) -> int:
    return sum(value.nbytes for value in tensors.values())


def _text(key: Key) -> str:
    return json.dumps(dict(key), sort_keys=True, ensure_ascii=False)
