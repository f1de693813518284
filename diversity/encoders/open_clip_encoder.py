"""Any open_clip model behind the encoder seam: built-in name with a tag or checkpoint, or a local folder.

Not for choosing one: that is `spec.py`.
"""

from __future__ import annotations

import copy
import hashlib
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from diversity.encoders.base import Float32Array, UInt8Array
from diversity.encoders.spec import LOCAL, EncoderSpec
from diversity.errors import EncoderError

if TYPE_CHECKING:
    import torch

# Steps of a transform that leave RGB pixels where they are; "function" is how older releases convert to RGB.
NOT_FITTING = ("MaybeConvertMode", "function", "MaybeToTensor", "Normalize")

# Decoded pixels are read only, and are only read here.
warnings.filterwarnings("ignore", message="The given NumPy array is not writable")


class OpenClipEncoder:
    """A loaded open_clip model; a `TextEncoder` (see `base.py`).

    Attributes:
        id: Model, weights hash, preprocessing hash and dtype, safe as a file name.
        name: What a person reads.
        dim: Length of a vector.
        logit_scale: exp of the learned log scale of image–text similarities.
    """

    def __init__(
        self, spec: EncoderSpec, device: str = "auto", *, allow_download: bool = False, batch: int = 32
    ) -> None:
        """Load `spec` onto `device`.

        Raises:
            EncoderError: the weights are not at hand, do not fit the model, or the device is not there.
        """
        self._allow_download = allow_download
        self.device = pick_device(device)
        self.name, self._batch, self._model_name = spec.name, batch, spec.model
        self._model: Any
        self._model, transform = _load(spec, self.device, allow_download=allow_download)
        self._fitting = [step for step in transform.transforms if type(step).__name__ not in NOT_FITTING]
        normalise = next(t for t in transform.transforms if type(t).__name__ == "Normalize")
        self._shape_normalisation(normalise)
        self.id = f"{_slug(spec)}-{_weights_hash(self._model)}-{_preprocessing_hash(transform)}-fp32"
        sample = self._normalised(self.prepare(np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8))[None])
        self._model.visual = _fused(self._model.visual, sample)
        self.dim = int(_numpy(self._model.encode_image(sample)).shape[1])
        self.logit_scale = float(self._model.logit_scale.detach().exp())
        self._tokenizer: Any = None

    def _shape_normalisation(self, normalise: Any) -> None:  # noqa: ANN401
        import torch

        self._mean = torch.tensor(normalise.mean, device=self.device).view(1, 3, 1, 1) * 255
        self._scale = 1 / (torch.tensor(normalise.std, device=self.device).view(1, 3, 1, 1) * 255)

    def _normalised(self, batch: UInt8Array) -> torch.Tensor:
        """uint8 [n, h, w, 3] → float32 [n, 3, h, w] as the model wants it."""
        import torch

        pixels = torch.from_numpy(np.ascontiguousarray(batch)).to(self.device).permute(0, 3, 1, 2).float()
        return pixels.sub_(self._mean).mul_(self._scale)

    def prepare(self, pixels: UInt8Array) -> UInt8Array:
        """The model's own resizing and cropping of uint8 [h', w', 3], up to uint8 [h, w, 3].

        Its steps are made for Pillow's pictures; torch's own resizing is the same antialiased one in a fifth of the
        time. Values of photos differ by at most one level, a few by more at the hardest edges.
        """
        import torch

        picture = torch.from_numpy(pixels).permute(2, 0, 1)
        for step in self._fitting:
            picture = _resized(step, picture) if hasattr(step, "interpolation") else step(picture)
        fitted: UInt8Array = picture.permute(1, 2, 0).contiguous().numpy()
        return fitted

    def encode_prepared(self, batch: UInt8Array) -> Float32Array:
        """uint8 [n, h, w, 3] → float32 [n, dim], unit rows."""
        import torch

        with torch.inference_mode():
            return _numpy(self._model.encode_image(self._normalised(batch), normalize=True))

    def encode_images(self, pictures: Sequence[Image.Image]) -> Float32Array:
        """RGB pictures → float32 [n, dim], unit rows; n may be 0."""
        parts = [
            self.encode_prepared(np.stack([self.prepare(_rgb(p)) for p in pictures[start : start + self._batch]]))
            for start in range(0, len(pictures), self._batch)
        ]
        return np.concatenate(parts) if parts else np.empty((0, self.dim), np.float32)

    def encode_texts(self, texts: Sequence[str]) -> Float32Array:
        """Texts → float32 [n, dim], unit rows; n may be 0."""
        import open_clip
        import torch

        if self._tokenizer is None:
            with _network(self._allow_download):
                self._tokenizer = open_clip.get_tokenizer(self._model_name)
        parts = []
        with torch.inference_mode():
            for start in range(0, len(texts), 256):
                tokens = self._tokenizer(list(texts[start : start + 256])).to(self.device)
                parts.append(_numpy(self._model.encode_text(tokens, normalize=True)))
        return np.concatenate(parts) if parts else np.empty((0, self.dim), np.float32)


def _rgb(picture: Image.Image) -> UInt8Array:
    return np.array(picture.convert("RGB"))


def _resized(step: Any, picture: torch.Tensor) -> torch.Tensor:  # noqa: ANN401
    """What a resizing step of torchvision or open_clip does to a picture, for uint8 [3, h, w]."""
    from torchvision.transforms import Resize
    from torchvision.transforms.v2.functional import resize

    size, most = step.size, getattr(step, "max_size", None)
    if not isinstance(step, Resize):  # open_clip's ResizeKeepRatio
        ratios = [old / new for old, new in zip(picture.shape[1:], step.size, strict=True)]
        ratio = max(ratios) * step.longest + min(ratios) * (1 - step.longest)
        size = [round(side / ratio) for side in picture.shape[1:]]
    fitted: torch.Tensor = resize(picture, size, step.interpolation, most, antialias=True)
    return fitted


def _fused(visual: torch.nn.Module, sample: torch.Tensor) -> torch.nn.Module:
    """`visual` with every batch normalisation that follows a convolution folded into it: a fifth of the time less.

    Names alone do not prove what follows what, so the two must agree on `sample` float32 [1, 3, h, w]; else `visual`
    itself is given back.
    """
    import torch
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    if not any(isinstance(module, torch.nn.BatchNorm2d) for module in visual.modules()):
        return visual
    fused = copy.deepcopy(visual)
    for parent in list(fused.modules()):
        for (conv_name, conv), (norm_name, norm) in pairwise(list(parent.named_children())):
            if isinstance(conv, torch.nn.Conv2d) and isinstance(norm, torch.nn.BatchNorm2d):
                setattr(parent, conv_name, fuse_conv_bn_eval(conv, norm))
                setattr(parent, norm_name, getattr(norm, "act", torch.nn.Identity()))  # timm's norms hold what follows
    with torch.inference_mode():
        same = torch.allclose(visual(sample), fused(sample), rtol=1e-3, atol=1e-4)
    return fused if same else visual


def pick_device(wanted: str) -> str:
    """`auto` → cuda, mps or cpu, the first that is there; anything else is checked.

    Raises:
        EncoderError: the named device is not there.
    """
    import torch

    here = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        return next(name for name, there in here.items() if there)
    if not here.get(wanted.split(":")[0], False):
        found = ", ".join(name for name, there in here.items() if there)
        raise EncoderError(f"The device '{wanted}' is not there.", f"torch sees: {found}.", "Pass --device auto.")
    return wanted


def _load(spec: EncoderSpec, device: str, *, allow_download: bool) -> tuple[torch.nn.Module, Any]:
    import open_clip
    from open_clip.pretrained import get_pretrained_cfg
    from safetensors import SafetensorError

    if not spec.model.startswith(LOCAL):
        if spec.model not in open_clip.list_models():
            raise EncoderError(
                f"open_clip has no model '{spec.model}'.", "", "Look the name up in open_clip.list_models()."
            )
        if spec.weights is None:
            source = get_pretrained_cfg(spec.model, spec.pretrained)
            tags = ", ".join(open_clip.list_pretrained_tags_by_model(spec.model))
            if not source:
                raise EncoderError(f"{spec.model} has no weights '{spec.pretrained}'.", f"It has: {tags}.", "Name one.")
            if not (allow_download or source.get("hf_hub")):
                raise EncoderError(
                    f"The weights '{spec.pretrained}' of {spec.model} may only come from the network.",
                    "Nothing is fetched unasked.",
                    "Add --allow-download.",
                )
    broken = (OSError, RuntimeError, ValueError, KeyError, EOFError, SafetensorError, UnpicklingError)
    try:
        with _network(allow_download):
            model, _, transform = open_clip.create_model_and_transforms(spec.model, spec.pretrained, device=device)
    except broken as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        hint = "Check the folder or file." if allow_download or spec.weights else "Add --allow-download to fetch them."
        raise EncoderError(f"The encoder {spec.name} could not be loaded.", f"{reason}.", hint) from None
    model.eval()
    return model, transform


@contextmanager
def _network(allowed: bool) -> Iterator[None]:
    """Keep Hugging Face's library off the network unless `allowed`, whenever it was imported."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or not allowed
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _numpy(vectors: torch.Tensor) -> Float32Array:
    array: Float32Array = vectors.detach().float().cpu().numpy()
    return array


def _slug(spec: EncoderSpec) -> str:
    name = Path(spec.model.removeprefix(LOCAL)).name if spec.model.startswith(LOCAL) else spec.model
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in name)


def _weights_hash(model: torch.nn.Module) -> str:
    """Hash of the loaded parameters themselves: the same weights get the same id from any file format."""
    digest = hashlib.blake2b(digest_size=4)
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).float().numpy().tobytes())
    return digest.hexdigest()


def _preprocessing_hash(transform: Any) -> str:  # noqa: ANN401
    return hashlib.blake2b(repr(transform).encode(), digest_size=2).hexdigest()
