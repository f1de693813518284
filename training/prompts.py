r"""Keyword weights in prompts: `girl, (looking at viewer:0.7), full body`.

Only `(text:number)` is special; it may be nested, and weights multiply. All other brackets mean themselves, as they do
in tags like `saber_(fate)`; `\(` and `\)` always do. Captions in training are never read this way.

What a weight does is compel's matter: above 1 a keyword's states move away from those of the empty prompt; below 1 the
prompt's states are mixed with those of the same prompt with the keyword masked out; 0 leaves it out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import torch

from diversity.errors import InputError
from training.base import Base, TextStates

_WEIGHT = re.compile(r":\s*(\d+(?:\.\d*)?|\.\d+)\s*$")
_SPECIAL = re.compile(r"\\[()\\]|[()]|[^()\\]+|\\")
MOST = 5.0  # a larger weight only breaks the picture, and is most often a slip of the point

Fragments = list[tuple[str, float]]


def parse(prompt: str) -> Fragments:
    """Pieces of text with their weights, in order; neighbours of equal weight are one piece.

    Raises:
        InputError: a weight is above `MOST`.
    """
    pieces: list[tuple[str, float]] = []
    opened: list[int] = []
    for token in _SPECIAL.findall(prompt):
        if token == "(":
            opened.append(len(pieces))
            pieces.append(("(", 1.0))
        elif token == ")" and opened:
            start = opened.pop()
            found = _WEIGHT.search(pieces[-1][0]) if len(pieces) > start + 1 else None
            if found is None:
                pieces.append((")", 1.0))
            else:
                weight = _checked(float(found[1]), prompt)
                pieces[-1] = (pieces[-1][0][: found.start()], pieces[-1][1])
                pieces[start:] = [(text, inner * weight) for text, inner in pieces[start + 1 :]]
        else:
            pieces.append((token[1:] if len(token) == 2 and token[0] == "\\" else token, 1.0))
    merged = (("".join(text for text, _ in group), w) for w, group in groupby(pieces, key=lambda piece: piece[1]))
    return [(text, weight) for text, weight in merged if text]


def plain(prompt: str) -> str:
    """The prompt without its weights."""
    return "".join(text for text, _ in parse(prompt))


def literal(text: str) -> str:
    r"""The prompt that reads as `text` itself, as training reads captions: "a (b:2)" → "a \(b:2\)"."""
    return re.sub(r"[\\()]", r"\\\g<0>", text)


def encode(base: Base, prompts: Sequence[str], *, windows: int | None = None) -> TextStates:
    """Encode prompts with keyword weights; those without any give exactly what `base.encode_prompts` gives.

    SDXL's pooled state, which has no words left to weight, is that of the plain text.

    Args:
        base: Whose text encoders read.
        prompts: n prompts.
        windows: Windows of text per prompt, see `Base.encode_prompts`; None: as many as the longest needs.

    Raises:
        InputError: a weight cannot be used.
    """
    parsed = [parse(prompt) for prompt in prompts]
    texts = [plain(prompt) for prompt in prompts]
    weighted = {row: _weighted(base, pieces) for row, pieces in enumerate(parsed) if _uneven(pieces)}
    needed = max([base.windows(texts), *(len(states[0]) // base.window for states in weighted.values())])
    count = windows or needed
    states = base.encode_prompts(texts, windows=count)
    if weighted:
        empty = base.encode_prompts([""], windows=count).states
        rows = [
            _fit(weighted[row], empty) if row in weighted else states.states[row : row + 1] for row in range(len(texts))
        ]
        return TextStates(torch.cat(rows), states.pooled)
    return states


def _weighted(base: Base, pieces: Fragments) -> torch.Tensor:
    """States of one weighted prompt by compel: [1, tokens, width]."""
    from compel.embeddings_provider import EmbeddingsProvider, ReturnedEmbeddingsType, SplitLongTextMode

    kinds = ReturnedEmbeddingsType
    kind = (
        kinds.PENULTIMATE_HIDDEN_STATES_NON_NORMALIZED if base.family == "sdxl" else kinds.LAST_HIDDEN_STATES_NORMALIZED
    )
    parts = []
    for tokenizer, encoder in zip(base.tokenizers, base.text_encoders, strict=True):
        tokenizer.deprecation_warnings["sequence-length-is-longer-than-the-specified-maximum"] = True  # it is cut below
        provider: Any = EmbeddingsProvider(
            tokenizer,
            encoder,
            dtype_for_device_getter=lambda _: base.dtype,
            truncate=False,
            returned_embeddings_type=kind,
            split_long_text_mode=SplitLongTextMode.BRUTAL,  # the windows of `Base.encode_prompts`
            model_max_length=base.window,
        )
        parts.append(
            provider.get_embeddings_for_weighted_prompt_fragments(
                [[text for text, _ in pieces]], [[weight for _, weight in pieces]], device=base.device
            )
        )
    return torch.cat(parts, dim=-1)


def _fit(states: torch.Tensor, empty: torch.Tensor) -> torch.Tensor:
    """Cut to the length of `empty`, or filled up with its windows: both [1, tokens, width]."""
    return torch.cat([states[:, : empty.shape[1]], empty[:, states.shape[1] :]], dim=1)


def _uneven(pieces: Fragments) -> bool:
    return any(weight != 1.0 for _, weight in pieces)


def _checked(weight: float, prompt: str) -> float:
    if weight > MOST:
        raise InputError(
            f"The prompt '{prompt}' has a keyword of weight {weight:g}.", f"Weights go up to {MOST:g}.", "Lower it."
        )
    return weight
