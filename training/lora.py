"""Adapters on a base model: made, loaded, weighted, switched off, saved. peft does the mathematics.

Files are `lora_files`' matter. A weight of 0 takes an adapter out of the forward pass, so the base answers bit for bit.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from pydantic import Field, field_validator

from diversity.config import Section
from training.base import Base
from training.errors import LoraError
from training.lora_files import read, write
from training.lora_files.metadata import as_strings, modelspec
from training.lora_files.weights import PARTS, Key, Layer, LoraWeights, patterned, usual

ATTENTION = r"\.attn[12]\.(to_q|to_k|to_v|to_out\.0)$"
FEED_FORWARD = r"\.ff\.net\.(0\.proj|2)$"
TRANSFORMER_ENDS = r"\.attentions\.\d+\.proj_(in|out)$"
CONVOLUTIONS = r"\.(resnets\.\d+\.(conv1|conv2|conv_shortcut)|(down|up)samplers\.\d+\.conv)$"
UNET_TARGETS = {
    "attention": (ATTENTION,),
    "attention+ff": (ATTENTION, FEED_FORWARD),
    "all-linear": (ATTENTION, FEED_FORWARD, TRANSFORMER_ENDS),
}
TEXT_ATTENTION, TEXT_FEED_FORWARD = r"\.self_attn\.(q|k|v|out)_proj$", r"\.mlp\.fc[12]$"
FAMILIES = {"sd1": "Stable Diffusion 1", "sd2": "Stable Diffusion 2", "sdxl": "SDXL"}


class LoraSettings(Section):
    """The shape of a new adapter."""

    rank: int = Field(16, ge=1, description="rank of linear layers")
    alpha: float | None = Field(None, ge=0, description="numerator of the scale alpha / rank; None: the rank")
    targets: Literal["attention", "attention+ff", "all-linear"] = Field(
        "attention", description="which layers; all-linear is what kohya's trainer takes by default"
    )
    conv_rank: int | None = Field(None, ge=1, description="rank of convolutions (LoCon); None: none are adapted")
    conv_alpha: float | None = Field(None, ge=0, description="alpha of convolutions; None: their rank")
    rank_pattern: dict[str, int] = Field(
        default_factory=dict, description="regular expression for the end of a layer's path → its rank; 0 leaves it out"
    )
    alpha_pattern: dict[str, float] = Field(default_factory=dict, description="likewise → its alpha")
    text_encoder: bool = Field(False, description="adapt the text encoders too")
    dora: bool = Field(False, description="learn magnitudes too (DoRA)")
    init: Literal["kaiming", "gaussian"] = Field(
        "kaiming", description="how A begins: as kohya's trainer, or as diffusers' scripts; B begins at zero"
    )
    seed: int = Field(0, description="of A")

    @field_validator("rank_pattern", "alpha_pattern")
    @classmethod
    def _patterns_are_readable(cls, patterns: dict[str, float]) -> dict[str, float]:
        for pattern, value in patterns.items():
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"'{pattern}' is not a regular expression: {error}") from None
            if value < 0:
                raise ValueError(f"the value of '{pattern}' is negative")
        return patterns


class Adapter:
    """One LoRA on one base.

    Attributes:
        name: Among the base's adapters.
        layers: peft's layers by part and path, in the base's order.
        scale: Its present weight; 0 is off.
        trainable: Whether its parameters take gradients.
        kept_as: What tells its weights from all others, such as a hash of their file; evaluations then keep on disk
            what it draws, as they keep what the base draws. "": they do not.
    """

    kept_as = ""

    def __init__(self, base: Base, name: str, layers: dict[Key, Any], *, trainable: bool) -> None:
        self.base, self.name, self.layers, self.trainable = base, name, layers, trainable
        self.scale = 1.0

    def parameters(self) -> list[torch.nn.Parameter]:
        """Its parameters, float32, in a fixed order."""
        return list(self._named().values())

    def state(self) -> dict[str, torch.Tensor]:
        """Copies of its parameters on the CPU, by part, path and matrix."""
        return {name: value.detach().cpu().clone() for name, value in self._named().items()}

    def load_state(self, state: Mapping[str, torch.Tensor]) -> None:
        """Put back what `state` gave.

        Raises:
            LoraError: it is of an adapter of another shape.
        """
        own = self._named()
        if state.keys() != own.keys() or any(own[name].shape != value.shape for name, value in state.items()):
            raise LoraError(
                "The adapter's saved state does not fit.", "It was made with other LoRA settings or another base."
            )
        with torch.no_grad():
            for name, value in state.items():
                own[name].copy_(value)

    @contextmanager
    def disabled(self) -> Iterator[None]:
        """Switch it off for a while: the base alone answers, bit for bit; other adapters stay as they are."""
        before = self.scale
        set_scale(self.base, {self.name: 0.0})
        try:
            yield
        finally:
            set_scale(self.base, {self.name: before})

    def weights(self) -> LoraWeights:
        """What it holds, in the form that files are written from."""
        return LoraWeights({key: self._layer(layer) for key, layer in self.layers.items()})

    def _layer(self, layer: Any) -> Layer:  # noqa: ANN401
        magnitude = layer.lora_magnitude_vector[self.name].weight if self.name in layer.lora_magnitude_vector else None
        return Layer(
            layer.lora_A[self.name].weight.detach().cpu(),
            layer.lora_B[self.name].weight.detach().cpu(),
            float(layer.lora_alpha[self.name]),
            None if magnitude is None else magnitude.detach().cpu().reshape(-1),
        )

    def _named(self) -> dict[str, torch.nn.Parameter]:
        found = {}
        for key, layer in self.layers.items():
            where = ".".join(key)
            found[f"{where}.lora_A"] = layer.lora_A[self.name].weight
            found[f"{where}.lora_B"] = layer.lora_B[self.name].weight
            if self.name in layer.lora_magnitude_vector:
                found[f"{where}.lora_magnitude_vector"] = layer.lora_magnitude_vector[self.name].weight
        return found


def attach(base: Base, settings: LoraSettings, *, name: str = "default") -> Adapter:
    """Put a new, trainable adapter on `base`; it changes nothing until it is trained.

    Raises:
        LoraError: the settings leave no layer to adapt, or the name is taken.
    """
    ranks: dict[Key, tuple[int, float]] = {}
    for key, module in adaptable(base).items():
        rank, alpha = _shape(settings, key, module)
        if rank is None:
            continue
        rank = int(patterned(settings.rank_pattern, key[1], rank))
        if rank > 0:
            ranks[key] = (rank, patterned(settings.alpha_pattern, key[1], rank if alpha is None else alpha))
    if not ranks:
        raise LoraError("The LoRA settings leave no layer to adapt.", "The base has none of the targets.")
    init: Any = True if settings.init == "kaiming" else "gaussian"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        return _inject(base, name, ranks, dora=settings.dora, init=init)


def load(base: Base, file: str | Path, *, name: str) -> Adapter:
    """Put a LoRA from a file of any layout on `base`, not trainable.

    Raises:
        LoraError: the file cannot be read, or does not fit the base, or the name is taken.
    """
    weights = read(file)
    check_fit(weights, base, Path(file).name)
    layers = {key: weights.layers[key] for key in adaptable(base) if key in weights.layers}
    ranks = {key: (layer.rank, layer.alpha) for key, layer in layers.items()}
    adapter = _inject(base, name, ranks, dora=weights.dora, init=True)
    adapter.trainable = False
    with torch.no_grad():
        for key, layer in layers.items():
            into = adapter.layers[key]
            pairs = [(into.lora_A[name].weight, layer.down), (into.lora_B[name].weight, layer.up)]
            if layer.magnitude is not None:
                pairs.append((into.lora_magnitude_vector[name].weight, layer.magnitude))
            for own, given in pairs:
                own.copy_(given.reshape(own.shape))
    _apply(base)
    return adapter


def check_fit(weights: LoraWeights, base: Base, name: str) -> None:
    """See that every layer of `weights`, called `name` in errors, has its place in `base`, with the right shape.

    Raises:
        LoraError: one does not; names the family that the file is for, where it tells.
    """
    modules, made_for, mine = adaptable(base), weights.family, FAMILIES[base.family]
    for key, layer in weights.layers.items():
        module: Any = modules.get(key)
        kernel = tuple(getattr(module, "kernel_size", ()))
        wanted = () if module is None else (*module.weight.shape[:2], *kernel)
        given = (len(layer.up), layer.down.shape[1], *layer.down.shape[2:])
        if module is None or _bare(wanted) != _bare(given):
            where = f"It is made for {FAMILIES[made_for]}." if made_for and made_for != base.family else ""
            why = "is not in it" if module is None else f"is {list(wanted)} in it and {list(given)} in the file"
            raise LoraError(
                f"{name} does not fit the base model {base.name} ({mine}).",
                where or f"The layer {'.'.join(key)} {why}.",
                "Use the base that it was trained on, or one derived from that.",
            )
    if weights.dora and any(layer.magnitude is None for layer in weights.layers.values()):
        raise LoraError(f"{name} is a DoRA in some layers only.", "Such files cannot be applied here.")


def set_scale(base: Base, weights: Mapping[str, float]) -> None:
    """Set the weights of adapters by name; 0 switches one off, unnamed ones stay as they are.

    A DoRA's weight blends between the base's and the adapted matrix in a straight line, as common interfaces do, so
    that it too fades to nothing.
    """
    for name, weight in weights.items():
        base.adapters[name].scale = float(weight)
    _apply(base)


def save(
    adapter: Adapter, folder: Path, run_id: str, metadata: Mapping[str, object] | None = None
) -> tuple[Path, Path]:
    """Write `pytorch_lora_weights.safetensors` (diffusers) and `<run_id>_kohya.safetensors`, atomically.

    Args:
        adapter: What to write.
        folder: Where; made if missing.
        run_id: Title of the LoRA.
        metadata: More to put into both headers, for example `ss_` keys of the training; made to strings.
    """
    base = adapter.base
    told = modelspec(base.family, run_id, prediction_type=base.prediction_type, resolution=base.resolution)
    told |= {"ss_output_name": run_id, "ss_sd_model_name": Path(base.name).name}
    weights = LoraWeights(adapter.weights().layers, told | as_strings(metadata or {}))
    diffusers, kohya = folder / "pytorch_lora_weights.safetensors", folder / f"{run_id}_kohya.safetensors"
    write(weights, kohya, "kohya", family=base.family)
    write(weights, diffusers, "diffusers")
    return diffusers, kohya


def _shape(settings: LoraSettings, key: Key, module: torch.nn.Module) -> tuple[int | None, float | None]:
    """Rank and alpha that the settings give a layer, patterns left out; (None, None) where it is not adapted."""
    part, path = key
    where = f".{path}"
    if part != "unet":
        ends = (TEXT_ATTENTION,) if settings.targets == "attention" else (TEXT_ATTENTION, TEXT_FEED_FORWARD)
        wanted = settings.text_encoder and any(re.search(end, where) for end in ends)
        return (settings.rank, settings.alpha) if wanted else (None, None)
    if any(re.search(end, where) for end in UNET_TARGETS[settings.targets]):
        return settings.rank, settings.alpha
    if settings.conv_rank and isinstance(module, torch.nn.Conv2d) and re.search(CONVOLUTIONS, where):
        return settings.conv_rank, settings.conv_alpha
    return None, None


def _inject(base: Base, name: str, ranks: Mapping[Key, tuple[int, float]], *, dora: bool, init: Any) -> Adapter:  # noqa: ANN401
    """Let peft wrap the layers, each with its own rank and alpha; parameters in float32 whatever the base's dtype."""
    if name in base.adapters:
        raise LoraError(f"The base has an adapter '{name}' already.", "", "Give this one another name.")
    layers: dict[Key, Any] = {}
    for part, model in _parts(base).items():
        mine = {_actual(model, key): shape for key, shape in ranks.items() if key[0] == part}
        if not mine:
            continue
        rank, alpha = int(usual(r for r, _ in mine.values())), usual(a for _, a in mine.values())
        config = LoraConfig(
            r=rank,
            lora_alpha=alpha,  # type: ignore[arg-type]  # peft only divides it by the rank
            target_modules=list(mine),
            rank_pattern={f"^{re.escape(path)}": r for path, (r, _) in mine.items() if r != rank},
            alpha_pattern={f"^{re.escape(path)}": a for path, (_, a) in mine.items() if a != alpha},
            use_dora=dora,
            init_lora_weights=init,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # peft warns of a second adapter on one model, which is meant
            inject_adapter_in_model(config, model, name)
        for key in ranks:
            if key[0] == part:
                layers[key] = model.get_submodule(_actual(model, key))
                _to_float32(layers[key], name)
    base.adapters[name] = adapter = Adapter(base, name, layers, trainable=True)
    _apply(base)
    return adapter


def _to_float32(layer: Any, name: str) -> None:  # noqa: ANN401
    """Train in float32; DoRA's magnitudes are taken anew, so that a half-precision base starts unchanged."""
    for matrix in (layer.lora_A[name], layer.lora_B[name]):
        matrix.weight.data = matrix.weight.data.float()
    if name in layer.lora_magnitude_vector:
        layer.lora_magnitude_vector[name].update_layer(
            base_layer=layer.get_base_layer(),
            lora_A=layer.lora_A[name].weight,
            lora_B=layer.lora_B[name].weight,
            scaling=layer.scaling[name],
        )
        layer.lora_variant[name] = _Blend(layer.lora_variant[name])


class _Blend:
    """A peft variant (DoRA) whose effect is weighted as a whole."""

    def __init__(self, variant: Any) -> None:  # noqa: ANN401
        self.variant, self.weight = variant, 1.0

    def forward(self, module: Any, *, result: torch.Tensor, **given: Any) -> torch.Tensor:  # noqa: ANN401
        full: torch.Tensor = self.variant.forward(module, result=result, **given)
        return full if self.weight == 1.0 else result + self.weight * (full - result)


def _apply(base: Base) -> None:
    """Bring peft's layers in line with the adapters' weights; those of weight 0 are not active at all."""
    on: dict[int, tuple[Any, list[str]]] = {}
    for adapter in base.adapters.values():
        for layer in adapter.layers.values():
            active = on.setdefault(id(layer), (layer, []))[1]
            name, scale = adapter.name, adapter.scale
            if name in layer.lora_variant:
                layer.lora_variant[name].weight = scale
            else:
                layer.scaling[name] = layer.lora_alpha[name] / layer.r[name] * scale
            if scale != 0:
                active.append(name)
    for layer, active in on.values():
        layer.set_adapter(active, inference_mode=True)
    for adapter in base.adapters.values():
        for parameter in adapter.parameters():
            parameter.requires_grad_(adapter.trainable)


def _parts(base: Base) -> dict[str, Any]:
    return dict(zip(PARTS, (base.unet, *base.text_encoders), strict=False))


def adaptable(base: Base) -> dict[Key, torch.nn.Module]:
    """The base's linear layers and convolutions, below any adapter, by part and path, in the model's order."""
    found: dict[Key, torch.nn.Module] = {}
    for part, model in _parts(base).items():
        for path, module in model.named_modules():
            inner = module.get_base_layer() if isinstance(module, LoraLayer) else module
            inside = ".base_layer" in path or ".lora_" in path
            if isinstance(inner, torch.nn.Linear | torch.nn.Conv2d) and not inside:
                own = part == "unet" or path.startswith(("text_model.", "text_projection"))
                found[part, path if own else f"text_model.{path}"] = inner
    return found


def _actual(model: Any, key: Key) -> str:  # noqa: ANN401
    """The path in the model itself: newer transformers leave `text_model.` out."""
    return key[1] if hasattr(model, "text_model") or key[0] == "unet" else key[1].removeprefix("text_model.")


def _bare(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape without a 1 × 1 kernel, which is a linear map."""
    return shape[:2] if shape[2:] == (1, 1) else shape
