"""A base model to train on or draw with, the family's differences hidden inside: Stable Diffusion 1.5, 2 and XL.

Not for adapters (`lora.py`) or keyword weights (`prompts.py`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from diversity.encoders.open_clip_encoder import pick_device
from training.bases.folder import Family, family_of, load_parts, unreadable
from training.errors import BaseModelError

TOON_FOLDER = Path(__file__).parent / "assets" / "toon_base"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
GUIDANCE, TOON_GUIDANCE = 7.0, 3.5  # the usual one; the toon base's colours get loud at it (docs/first-character.md)


@dataclass(frozen=True)
class TextStates:
    """Encoded prompts.

    Attributes:
        states: [n, tokens, width], what the UNet attends to.
        pooled: [n, width of the second encoder], SDXL only.
    """

    states: torch.Tensor
    pooled: torch.Tensor | None = None

    def to(self, device: str | torch.device, dtype: torch.dtype | None = None) -> TextStates:
        """The same on another device, or in another dtype."""
        return TextStates(self.states.to(device, dtype), None if self.pooled is None else self.pooled.to(device, dtype))

    def row(self, index: int) -> TextStates:
        """One prompt's states."""
        return TextStates(
            self.states[index : index + 1], None if self.pooled is None else self.pooled[index : index + 1]
        )

    def repeat(self, n: int) -> TextStates:
        """One prompt's states, n times."""
        return TextStates(self.states.expand(n, -1, -1), None if self.pooled is None else self.pooled.expand(n, -1))


@dataclass(eq=False)
class Base:
    """A loaded base model; nothing in it requires a gradient.

    Attributes:
        name: As it was asked for.
        family: sd1, sd2 or sdxl.
        unet, vae: diffusers models.
        text_encoders, tokenizers: One each, or two for SDXL.
        scheduler: The noise schedule of training (`DDPMScheduler`), from the model's own configuration.
        device: Where the modules are.
        dtype: Of all weights.
        guidance: Classifier-free guidance to draw with where none is asked for.
        adapters: `training.lora.Adapter` by name, in the order they were put on.
    """

    name: str
    family: Family
    unet: Any
    vae: Any
    text_encoders: tuple[Any, ...]
    tokenizers: tuple[Any, ...]
    scheduler: Any
    device: str
    dtype: torch.dtype
    guidance: float = GUIDANCE
    adapters: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def prediction_type(self) -> str:
        """`epsilon` or `v_prediction`."""
        return str(self.scheduler.config.prediction_type)

    @property
    def zero_terminal_snr(self) -> bool:
        """Whether the last timestep is pure noise (Lin et al. 2024, arXiv 2305.08891, algorithm 1)."""
        return bool(self.scheduler.config.get("rescale_betas_zero_snr", False))

    @property
    def latent_scale(self) -> int:
        """Pixels per latent, along one side."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    @property
    def resolution(self) -> int:
        """Side in pixels that the model was made for."""
        size = self.unet.config.sample_size
        return int(max(size) if isinstance(size, list | tuple) else size) * self.latent_scale

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the weights themselves, adapters left out: the same from any folder, changed by any weight."""
        return weights_hash(self)

    @cached_property
    def schedule(self) -> str:
        """Hash of the noise schedule and of what is predicted: models of equal weights may still draw differently."""
        said = (self.prediction_type, self.scheduler.config.get("timestep_spacing"))
        digest = hashlib.blake2b(repr(said).encode(), digest_size=8)
        digest.update(self.scheduler.alphas_cumprod.double().numpy().tobytes())
        return digest.hexdigest()

    def encode_pictures(self, pixels: torch.Tensor, *, sample: torch.Generator | None = None) -> torch.Tensor:
        """Pictures → scaled latents.

        Args:
            pixels: float32 [n, 3, h, w] in -1..1; h and w multiples of `latent_scale`.
            sample: Draws from the VAE's distribution; None takes its mode.

        Returns:
            [n, c, h / latent_scale, w / latent_scale].
        """
        with torch.no_grad(), _upcast(self.vae) as dtype:
            found = self.vae.encode(pixels.to(self.device, dtype)).latent_dist
            latents: torch.Tensor = found.mode() if sample is None else found.sample(sample)
            latents = latents * self.vae.config.scaling_factor
            return latents.to(self.dtype)

    def decode_latents(self, latents: torch.Tensor) -> torch.Tensor:
        """Scaled latents [n, c, h, w] → float32 pictures [n, 3, h × latent_scale, w × latent_scale] in -1..1."""
        with torch.no_grad(), _upcast(self.vae) as dtype:
            pixels: torch.Tensor = self.vae.decode(
                latents.to(self.device, dtype) / self.vae.config.scaling_factor
            ).sample
            return pixels.float().clamp(-1, 1)

    @property
    def window(self) -> int:
        """Tokens that the text encoders see at once, the two markers included."""
        return min(
            min(int(tokenizer.model_max_length), int(encoder.config.max_position_embeddings))
            for tokenizer, encoder in zip(self.tokenizers, self.text_encoders, strict=True)
        )

    def windows(self, texts: Sequence[str]) -> int:
        """How many windows the longest of `texts` needs."""
        longest = max((len(ids) for tokenizer in self.tokenizers for ids in _ids(tokenizer, texts)), default=0)
        return max(1, -(-longest // (self.window - 2)))

    def encode_prompts(self, texts: Sequence[str], *, windows: int | None = None) -> TextStates:
        """Texts as they are (keyword weights are not read); the empty text is the unconditional one.

        A text longer than one window is cut into windows that are encoded one by one and joined; shorter texts of the
        same call get empty windows. Gradients flow where the caller allows them.

        Args:
            texts: n prompts or captions.
            windows: Windows per text; None: as many as the longest of `texts` needs. Say it where states of separate
                calls are to be put together; what does not fit is cut off.
        """
        count = windows or self.windows(texts)
        parts, pooled = [], None
        for tokenizer, encoder in zip(self.tokenizers, self.text_encoders, strict=True):
            ids = _windowed(tokenizer, texts, self.window, count).to(self.device)
            out = encoder(ids, output_hidden_states=self.family == "sdxl")
            found = out.hidden_states[-2] if self.family == "sdxl" else out.last_hidden_state
            parts.append(found.reshape(len(texts), count * self.window, -1))
            if getattr(out, "text_embeds", None) is not None:  # SDXL's second encoder; of the first window
                pooled = out.text_embeds.reshape(len(texts), count, -1)[:, 0]
        return TextStates(torch.cat(parts, dim=-1), pooled)

    def noise_prediction(
        self,
        latents: torch.Tensor,
        timesteps: torch.Tensor,
        states: TextStates,
        time_ids: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The UNet's answer: noise or velocity, as `prediction_type` says.

        Args:
            latents: [n, c, h, w], noisy.
            timesteps: int64 [n].
            states: Of n prompts.
            time_ids: SDXL: [n, 6], original height and width, crop top and left, target height and width, in pixels;
                None: an uncropped picture of the latents' size. Other families take no notice.

        Returns:
            As `latents`.
        """
        added = None
        if self.family == "sdxl":
            added = {
                "text_embeds": states.pooled,
                "time_ids": self._time_ids(latents) if time_ids is None else time_ids,
            }
        found: torch.Tensor = self.unet(
            latents, timesteps, encoder_hidden_states=states.states, added_cond_kwargs=added, return_dict=False
        )[0]
        return found

    def _time_ids(self, latents: torch.Tensor) -> torch.Tensor:
        height, width = (side * self.latent_scale for side in latents.shape[-2:])
        row = torch.tensor([height, width, 0, 0, height, width], device=latents.device, dtype=latents.dtype)
        return row.expand(len(latents), -1)

    def pipeline(self) -> Any:  # noqa: ANN401
        """A diffusers pipeline that shares these modules, with a fast sampler fit for the model's schedule."""
        spacing = "trailing" if self.zero_terminal_snr else "linspace"  # both begin at the last timestep
        sampler = _diffusers().DPMSolverMultistepScheduler.from_config(self.scheduler.config, timestep_spacing=spacing)
        parts = {"unet": self.unet, "vae": self.vae, "scheduler": sampler}
        parts |= dict(zip(("text_encoder", "text_encoder_2"), self.text_encoders, strict=False))
        parts |= dict(zip(("tokenizer", "tokenizer_2"), self.tokenizers, strict=False))
        if self.family == "sdxl":
            return _diffusers().StableDiffusionXLPipeline(
                **parts, add_watermarker=False, force_zeros_for_empty_prompt=False
            )
        return _diffusers().StableDiffusionPipeline(
            **parts, safety_checker=None, feature_extractor=None, requires_safety_checker=False
        )


def load(name: str | Path, *, device: str = "auto", dtype: str = "float32", allow_download: bool = False) -> Base:
    """Load a base model.

    Args:
        name: `toon` (the embedded one), a hub name, a diffusers folder, or a single .safetensors file.
        device: auto, cpu, cuda, cuda:N or mps.
        dtype: float32, bfloat16 or float16.
        allow_download: Let a hub name be fetched; otherwise it must be in the local cache.

    Raises:
        BaseModelError: it is not there, broken, or of a family that is not trained here, which is named.
        EncoderError: the device is not there.
    """
    if dtype not in DTYPES:
        raise BaseModelError(f"The dtype '{dtype}' is not known.", "", f"Use one of {', '.join(DTYPES)}.")
    where = pick_device(device)
    with _quiet_offline(allow_download):
        folder = _find(name, allow_download=allow_download)
        if folder.is_file():
            from training.bases.single_file import load_file

            family, parts = load_file(folder, DTYPES[dtype])
        else:
            family = family_of(folder)
            parts = load_parts(folder, family, DTYPES[dtype])
    for part in ("unet", "vae", "text_encoder", "text_encoder_2"):
        if parts.get(part) is not None:
            parts[part].to(where).requires_grad_(False).eval()
    return Base(
        name=str(name),
        family=family,
        unet=parts["unet"],
        vae=parts["vae"],
        text_encoders=tuple(parts[p] for p in ("text_encoder", "text_encoder_2") if parts.get(p) is not None),
        tokenizers=tuple(parts[p] for p in ("tokenizer", "tokenizer_2") if parts.get(p) is not None),
        scheduler=_diffusers().DDPMScheduler.from_config(parts["scheduler"].config),
        device=where,
        dtype=DTYPES[dtype],
        guidance=TOON_GUIDANCE if folder == TOON_FOLDER else GUIDANCE,
    )


def weights_hash(base: Base) -> str:
    """Hash of the base's weights as loaded, adapters left out."""
    digest = hashlib.blake2b(digest_size=16)
    for module in (base.unet, base.vae, *base.text_encoders):
        state = {key.replace(".base_layer.", "."): value for key, value in module.state_dict().items()}
        for key, value in sorted(state.items()):
            if ".lora_" not in key:
                digest.update(key.encode())
                digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _find(name: str | Path, *, allow_download: bool) -> Path:
    """The folder or file that `name` means."""
    if name == "toon":
        if not (TOON_FOLDER / "model_index.json").is_file():
            raise BaseModelError(
                "The embedded toon base is not installed.",
                f"There is no model in {TOON_FOLDER}.",
                "Name another base with --base, for example a diffusers folder.",
            )
        return TOON_FOLDER
    path = Path(name).expanduser()
    if path.exists():
        return path.resolve()
    if path.is_absolute() or path.suffix == ".safetensors" or not HUB_NAME.fullmatch(str(name)):
        raise BaseModelError(
            f"There is no base model at {name}.",
            "",
            "Give toon, a hub name, a diffusers folder or a .safetensors file.",
        )
    return _from_hub(str(name), allow_download=allow_download)


def _from_hub(name: str, *, allow_download: bool) -> Path:
    """The cached folder of a hub model, fetched first where that is allowed."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError

    try:
        index = Path(hf_hub_download(name, "model_index.json", local_files_only=not allow_download))
        return (
            Path(_diffusers().DiffusionPipeline.download(name, safety_checker=None)) if allow_download else index.parent
        )
    except LocalEntryNotFoundError:
        todo = "Check the connection." if allow_download else "Add --allow-download, or name a local folder or file."
        raise BaseModelError(f"The base model {name} is not in the local cache.", "", todo) from None
    except (EntryNotFoundError, HfHubHTTPError, OSError, ValueError) as error:
        raise unreadable(name, error) from None


def _ids(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:  # noqa: ANN401
    """Token numbers of whole texts, without markers."""
    if not texts:
        return []
    found: list[list[int]] = tokenizer(list(texts), add_special_tokens=False, truncation=False, verbose=False)[
        "input_ids"
    ]
    return found


def _windowed(tokenizer: Any, texts: Sequence[str], window: int, count: int) -> torch.Tensor:  # noqa: ANN401
    """Token numbers as windows with markers and padding: int64 [texts × count, window]."""
    rows = []
    for ids in _ids(tokenizer, texts):
        for start in range(0, count * (window - 2), window - 2):
            row = [tokenizer.bos_token_id, *ids[start : start + window - 2], tokenizer.eos_token_id]
            rows.append(row + [tokenizer.pad_token_id] * (window - len(row)))
    return torch.tensor(rows, dtype=torch.int64).reshape(len(texts) * count, window)


@contextmanager
def _upcast(vae: Any) -> Iterator[torch.dtype]:  # noqa: ANN401
    """Run a VAE that overflows in float16 (its configuration says so) in float32; the dtype to feed it."""
    if vae.dtype == torch.float16 and vae.config.force_upcast:
        vae.to(torch.float32)
        try:
            yield torch.float32
        finally:
            vae.to(torch.float16)
    else:
        yield vae.dtype


@contextmanager
def _quiet_offline(allowed: bool) -> Iterator[None]:
    """Keep Hugging Face's libraries off the network unless `allowed`, and their bars off the terminal."""
    from diffusers.utils import logging as diffusers_logging
    from huggingface_hub import constants
    from transformers.utils import logging as transformers_logging

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or not allowed
    bars: tuple[Any, ...] = (diffusers_logging, transformers_logging)
    shown = [bar for bar in bars if bar.is_progress_bar_enabled()]
    for bar in shown:
        bar.disable_progress_bar()
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
        for bar in shown:
            bar.enable_progress_bar()


def _diffusers() -> Any:  # noqa: ANN401
    """The library, whose functions carry no types."""
    import diffusers

    return diffusers
