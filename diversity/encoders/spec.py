"""Which encoder a setting means, found without importing torch or touching the network.

Not for loading it: that is `open_clip_encoder.py`.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from diversity.config import EncoderConfig
from diversity.errors import EncoderError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LOCAL = "local-dir:"
TOON_FOLDER = Path(__file__).parent.parent / "assets" / "toon_encoder"

# (open_clip model, pretrained tag, repository on the hub), the best first: what `auto` looks for in the local cache.
VENDORS = (
    ("ViT-L-14", "laion2b_s32b_b82k", "laion/CLIP-ViT-L-14-laion2B-s32B-b82K"),
    ("ViT-L-14", "openai", "timm/vit_large_patch14_clip_224.openai"),
    ("ViT-B-16", "laion2b_s34b_b88k", "laion/CLIP-ViT-B-16-laion2B-s34B-b88K"),
    ("ViT-B-32", "laion2b_s34b_b79k", "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"),
    ("ViT-B-32", "openai", "timm/vit_base_patch32_clip_224.openai"),
)
WEIGHT_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")


@dataclass(frozen=True)
class EncoderSpec:
    """A resolved encoder.

    Attributes:
        model: open_clip's name for it: a built-in model or `local-dir:FOLDER`.
        pretrained: Tag or checkpoint file for built-in models, else None.
        name: What a person reads.
        note: Why this one, one sentence.
        weights: The weights file where it is known before loading, else None.
    """

    model: str
    pretrained: str | None
    name: str
    note: str
    weights: Path | None

    @property
    def fingerprint(self) -> str:
        """Changes when the model, the tag or the weights file changes; cheap, for skipping work."""
        parts = [self.model, self.pretrained or ""]
        if self.weights is not None:
            stat = self.weights.stat()
            parts += [str(stat.st_size), str(stat.st_mtime_ns)]
        return hashlib.blake2b("\0".join(parts).encode(), digest_size=8).hexdigest()

    @property
    def folder(self) -> Path | None:
        """Where the model lies, for local ones."""
        return Path(self.model.removeprefix(LOCAL)) if self.model.startswith(LOCAL) else None

    def centre(self) -> NDArray[np.float64] | None:
        """The encoder's mean picture, float64 [dim], where its folder tells it in `centre.npy`; else None."""
        import numpy as np

        file = self.folder / "centre.npy" if self.folder is not None else None
        if file is None or not file.is_file():
            return None
        centre: NDArray[np.float64] = np.load(file).astype(np.float64)
        return centre


def resolve(config: EncoderConfig) -> EncoderSpec:
    """The encoder that `config` names; `auto` is vendors' weights already in the cache, else the embedded one.

    Raises:
        EncoderError: a local folder or checkpoint that was named is not there.
    """
    if config.model == "auto":
        return _cached_vendor() or _toon(
            "no vendor's CLIP weights are in the local cache, so the embedded encoder is used"
        )
    if config.model == "toon":
        return _toon("the embedded encoder was asked for")
    if config.model.startswith(LOCAL):
        return _local(Path(config.model.removeprefix(LOCAL)).expanduser().resolve())
    return _named(config.model, config.pretrained)


def _toon(why: str) -> EncoderSpec:
    spec = _local(TOON_FOLDER)
    note = (
        f"{why[0].upper()}{why[1:]}: small, trained on rendered toon characters, good for copies, and "
        "for views of drawn figures."
    )
    return EncoderSpec(spec.model, None, "embedded toon encoder", note, spec.weights)


def _local(folder: Path) -> EncoderSpec:
    weights = next((folder / name for name in WEIGHT_FILES if (folder / name).is_file()), None)
    if weights is None or not (folder / "open_clip_config.json").is_file():
        raise EncoderError(
            f"{folder} holds no open_clip model.",
            f"It needs open_clip_config.json and one of {', '.join(WEIGHT_FILES)}.",
            "Give the folder of a model saved by open_clip.",
        )
    return EncoderSpec(f"{LOCAL}{folder}", None, folder.name, "A local open_clip folder was named.", weights)


def _named(model: str, pretrained: str | None) -> EncoderSpec:
    if pretrained is None:
        tag = next((tag for name, tag, repo in VENDORS if name == model and _in_hub_cache(repo)), None)
        if tag is None:
            raise EncoderError(
                f"No weights were named for {model}.",
                "None of its usual weights are in the local cache.",
                "Add --pretrained TAG --allow-download, or --pretrained FILE with a local checkpoint.",
            )
        pretrained = tag
    checkpoint = Path(pretrained).expanduser()
    is_file = checkpoint.is_file()
    if not is_file and (checkpoint.suffix or os.sep in pretrained):
        raise EncoderError(f"{pretrained} is not there.", "", "Give an open_clip tag or an existing checkpoint file.")
    weights = checkpoint.resolve() if is_file else None
    return EncoderSpec(
        model,
        str(weights) if weights else pretrained,
        f"{model} ({checkpoint.name if is_file else pretrained})",
        "This open_clip model was named.",
        weights,
    )


def _cached_vendor() -> EncoderSpec | None:
    for model, tag, repo in VENDORS:
        weights = _in_hub_cache(repo)
        if weights:
            return EncoderSpec(model, tag, f"{model} ({tag})", "Its weights are in the local cache.", weights)
    return None


def _in_hub_cache(repo: str) -> Path | None:
    """The weights file of `repo` in Hugging Face's cache folder, looked up by the cache's documented layout."""
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    cache = Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
    folder = cache / f"models--{repo.replace('/', '--')}" / "snapshots"
    found = sorted(path for name in WEIGHT_FILES for path in folder.glob(f"*/{name}") if path.is_file())
    return found[0] if found else None
