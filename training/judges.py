"""What a toon picture shows, judged from its pixels: framing, side, hair, clothes, background. For scoring pictures of
the embedded toon base and LoRAs on it; not for other art, and not for curating (that is the encoder's job).

One small network with a linear head for each attribute; weights, classes and measured accuracy are in `assets/judges`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from diversity.errors import DiversityError

FOLDER = Path(__file__).parent / "assets" / "judges"
SIDE, BATCH = 128, 64
CONFIG, WEIGHTS = "config.json", "judges.safetensors"
MIDDLE_STAGE, MIDDLE_WIDTH, LAST_WIDTH = 4, 96, 320  # of mobilenetv2_100
STAGES = {1: 24, 2: 32, 4: 96, 6: 320}  # widths of the maps that tell where the parts are, at a quarter of the size
PARTS = ("hair", "outfit", "shoes", "background", "other")
PART_WIDTH, READ_WIDTH, LAYOUT = 48, 48, 6
OR = " or "  # between classes that share a label

UInt8Array = NDArray[np.uint8]


class JudgesError(DiversityError):
    """The judges' files are missing or broken."""


@dataclass(frozen=True)
class Attribute:
    """What one head can say.

    Attributes:
        classes: Its labels, in the head's order. Classes that it cannot tell apart well enough share one label that
            names them all, as in "back or back_three_quarter" (see `agrees`).
        framings: Framings in which it can be seen; elsewhere a judgement is a guess.
        temperature: Divides the head's logits, so that confidence is a share of right answers.
        accuracy: On characters that no training saw, where the picture shows the attribute: the lower of renders and
            renders passed through the toon base's autoencoder.
    """

    classes: tuple[str, ...]
    framings: tuple[str, ...]
    temperature: float = 1.0
    accuracy: float = float("nan")

    @property
    def labels(self) -> tuple[str, ...]:
        """What it can say, each once."""
        return tuple(dict.fromkeys(self.classes))

    def merged(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities [n, classes] → [n, labels]: those of classes that share a label are added up."""
        same = np.array([[name == label for label in self.labels] for name in self.classes], np.float32)
        return rows @ same


@dataclass(frozen=True)
class Judgement:
    """One attribute of n pictures.

    Attributes:
        labels: n labels.
        confidence: float32 [n], 0..1.
        shown: bool [n], whether the picture's framing, as judged, is one that shows the attribute.
    """

    labels: tuple[str, ...]
    confidence: NDArray[np.float32]
    shown: NDArray[np.bool_]


class Network(nn.Module):
    """MobileNetV2 without its last convolution, and a map of which part of the figure is where.

    What a head sees: mean and maximum of two maps of the trunk; of every part its colour and the spread of it, the mean
    of the features that found it, its share; and where the parts are. A colour is read off the hair or the outfit and
    need not be searched for in the whole picture.
    """

    def __init__(self, classes: Mapping[str, int]) -> None:
        super().__init__()
        import timm

        self.trunk: Any = timm.create_model("mobilenetv2_100", pretrained=False, num_classes=0)
        self.trunk.conv_head, self.trunk.bn2 = nn.Identity(), nn.Identity()
        self.joined = nn.ModuleDict({str(n): nn.Conv2d(width, PART_WIDTH, 1) for n, width in STAGES.items()})
        self.mixed = nn.Sequential(
            nn.BatchNorm2d(PART_WIDTH),
            nn.ReLU(),
            nn.Conv2d(PART_WIDTH, PART_WIDTH, 3, padding=1, groups=PART_WIDTH, bias=False),
            nn.BatchNorm2d(PART_WIDTH),
            nn.ReLU(),
        )
        self.parts = nn.Conv2d(PART_WIDTH, len(PARTS), 1)
        of_part = PART_WIDTH + 2 * 3 + 1
        self.read = nn.Sequential(nn.BatchNorm1d(of_part), nn.Linear(of_part, READ_WIDTH), nn.ReLU())
        width = 2 * (MIDDLE_WIDTH + LAST_WIDTH) + len(PARTS) * (READ_WIDTH + LAYOUT**2)
        self.norm = nn.BatchNorm1d(width)
        self.heads = nn.ModuleDict({name: nn.Linear(width, count) for name, count in classes.items()})

    def features(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """float32 [n, 3, s, s] in -1..1 → what heads see, float32 [n, width]; logits of `PARTS` [n, 5, s/4, s/4]."""
        maps = self.trunk.bn1(self.trunk.conv_stem(pixels))
        found, stages = [], {}
        for number, stage in enumerate(self.trunk.blocks):
            maps = stage(maps)
            stages[number] = maps
            if number in (MIDDLE_STAGE, len(self.trunk.blocks) - 1):
                found += [maps.mean((2, 3)), maps.amax((2, 3))]
        fine = stages[1].shape[2:]
        joined = sum(
            nn.functional.interpolate(join(stages[int(n)]), fine, mode="bilinear") for n, join in self.joined.items()
        )
        mixed = self.mixed(joined)
        parts = self.parts(mixed)
        where = parts.softmax(1)
        read = self.read(self._of_parts(pixels, mixed, where).flatten(0, 1)).unflatten(0, where.shape[:2]).flatten(1)
        layout = nn.functional.adaptive_avg_pool2d(where, LAYOUT).flatten(1)
        return self.norm(torch.cat([*found, read, layout], dim=1)), parts

    @staticmethod
    def _of_parts(pixels: Tensor, mixed: Tensor, where: Tensor) -> Tensor:
        """Colour, its spread, features and share of each part: [n, 5, c], from maps of the same size and `where`."""
        colours = nn.functional.adaptive_avg_pool2d(pixels, (where.shape[2], where.shape[3]))
        values = torch.cat([colours, colours**2, mixed], dim=1).flatten(2)
        weights = where.flatten(2)
        share = weights.sum(2, keepdim=True)
        means = weights @ values.transpose(1, 2) / (share + 1e-3)
        colour = means[..., :3]
        spread = (means[..., 3:6] - colour**2).clamp(min=1e-4).sqrt()
        return torch.cat([colour, spread, means[..., 6:], (share / weights.shape[2]).sqrt()], dim=2)

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """float32 [n, 3, s, s] in -1..1 → logits [n, classes] by head."""
        features, _ = self.features(pixels)
        return {name: head(features) for name, head in self.heads.items()}


class Judges:
    """A loaded network and what its heads mean.

    Attributes:
        attributes: By name; only those that were measured to be right often enough.
    """

    def __init__(self, network: Network, attributes: Mapping[str, Attribute]) -> None:
        self._network, self.attributes = network.eval(), dict(attributes)

    def predict(self, pictures: Sequence[Image.Image] | UInt8Array) -> dict[str, Judgement]:
        """Judge RGB pictures of any size (or uint8 [n, h, w, 3]); n may be 0."""
        arrays = [np.asarray(p.convert("RGB")) if isinstance(p, Image.Image) else p for p in pictures]
        logits: dict[str, list[Tensor]] = {name: [] for name in self.attributes}
        with torch.inference_mode():
            for start in range(0, len(arrays), BATCH):
                batch = to_pixels(np.stack([fit(pixels) for pixels in arrays[start : start + BATCH]]))
                found = self._network(batch)
                for name, rows in logits.items():
                    rows.append(found[name])
        sure = {name: self._sure(name, rows) for name, rows in logits.items()}
        places = {name: rows.argmax(axis=1) for name, rows in sure.items()}
        framing = self._labels("framing", places["framing"]) if "framing" in places else None
        return {
            name: Judgement(
                self._labels(name, places[name]),
                rows.max(axis=1).astype(np.float32) if len(rows) else np.empty(0, np.float32),
                self._shown(name, framing, len(rows)),
            )
            for name, rows in sure.items()
        }

    def fingerprint(self) -> str:
        """Twelve hex digits of the weights and of what they mean; equal ones judge alike."""
        digest = hashlib.blake2b(repr(sorted(self.attributes.items())).encode(), digest_size=6)
        tensors: dict[str, Tensor] = self._network.state_dict()
        for _, tensor in sorted(tensors.items()):
            digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def _sure(self, name: str, rows: list[Tensor]) -> NDArray[np.float32]:
        """Probabilities float32 [n, labels] of `Attribute.labels`."""
        attribute = self.attributes[name]
        if not rows:
            return np.empty((0, len(attribute.labels)), np.float32)
        found: NDArray[np.float32] = torch.softmax(torch.cat(rows) / attribute.temperature, dim=1).numpy()
        return attribute.merged(found)

    def _labels(self, name: str, places: NDArray[np.intp]) -> tuple[str, ...]:
        return tuple(self.attributes[name].labels[place] for place in places)

    def _shown(self, name: str, framing: Sequence[str] | None, count: int) -> NDArray[np.bool_]:
        if framing is None:
            return np.ones(count, bool)
        return np.array([label in self.attributes[name].framings for label in framing], bool)


def agrees(judged: str, asked: str) -> bool:
    """Whether a label says, or leaves open, what was asked for: "back or back_three_quarter" agrees with "back"."""
    return asked in judged.split(OR) or asked == judged


def fit(pixels: UInt8Array, side: int = SIDE) -> UInt8Array:
    """A picture uint8 [h, w, 3] as the network wants it, uint8 [side, side, 3]: whole, squashed to a square."""
    mode = cv2.INTER_AREA if min(pixels.shape[:2]) > side else cv2.INTER_LINEAR
    return cv2.resize(pixels, (side, side), interpolation=mode).astype(np.uint8)


def to_pixels(pictures: UInt8Array) -> Tensor:
    """uint8 [n, s, s, 3] → float32 [n, 3, s, s] in -1..1, channels last in memory."""
    tensor = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2)
    return tensor.contiguous(memory_format=torch.channels_last).float() / 127.5 - 1


def load(folder: Path = FOLDER) -> Judges:
    """The judges of `folder`, on the CPU.

    Raises:
        JudgesError: files are missing or broken.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        attributes = {
            name: Attribute(tuple(e["classes"]), tuple(e["framings"]), e["temperature"], e["accuracy"])
            for name, e in config["attributes"].items()
        }
        network = Network({name: len(attribute.classes) for name, attribute in attributes.items()})
        network.load_state_dict({name: part.float() for name, part in load_file(folder / WEIGHTS).items()})
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise JudgesError(
            "The toon judges could not be loaded.",
            f"{str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__}.",
            "Install the package again, or train them with benchmarks.toonworld.train_judges.",
        ) from None
    return Judges(network.to(memory_format=torch.channels_last), attributes)


def save(folder: Path, network: Network, attributes: Mapping[str, Attribute]) -> None:
    """Write the heads of `attributes` and the trunk in fp16, and `config.json`."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    kept = tuple(f"heads.{name}." for name in attributes)
    state = {
        name: part.half().contiguous() if part.is_floating_point() else part
        for name, part in network.state_dict().items()
        if not name.startswith("heads.") or name.startswith(kept)
    }
    save_file(state, folder / WEIGHTS)
    entries = {
        name: {
            "classes": list(each.classes),
            "framings": list(each.framings),
            "temperature": round(each.temperature, 4),
            "accuracy": round(each.accuracy, 4),
        }
        for name, each in attributes.items()
    }
    text = json.dumps({"input": SIDE, "attributes": entries}, indent=2)
    (folder / CONFIG).write_text(text + "\n", encoding="utf-8")
