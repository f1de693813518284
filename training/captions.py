"""What the text encoder reads: pruning, trigger, order and dropout of a caption's tags, drawn by name.

Not for encoding texts, and not for what captions say about views: that is `diversity/captions.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from diversity.captions import Matcher, normal_tag, parse, trigger_tags
from diversity.export.captions import one_line, tags, with_trigger
from training import keyed
from training.config import CaptionConfig

# What the picture shows anyway, and is better absorbed by the LoRA than bound to a word (claims C1, C4).
GROUPS: dict[str, tuple[str, ...]] = {
    "hair": (
        *("*hair", "*haired", "bangs", "* bangs", "ponytail", "*ponytail", "twintails", "* twintails", "*braid"),
        *("*braids", "ahoge", "sidelocks", "hair bun", "*hair bun", "hair over *", "hair between eyes", "bob cut"),
        *("* cut", "hime cut", "drill hair", "two side up", "one side up", "bald", "baldness"),
    ),
    "eyes": ("*eyes", "*eyed", "*pupils", "heterochromia", "* sclera", "*eyelashes"),
    "face": ("*eyebrows", "freckles", "mole", "mole *", "*facial hair", "beard", "mustache", "scar", "scar *", "fangs"),
    "body": ("*skin", "*breasts", "muscular", "tall", "short", "petite", "*horns", "*wings", "*tail", "*ears"),
}
# Tags that match a pattern above and say what eyes do or where something is, not what they look like.
NOT_LOOKS = {"closed eyes", "half-closed eyes", "narrowed eyes", "rolling eyes", "covered eyes", "covering own eyes"}


@dataclass(frozen=True)
class Text:
    """One caption to draw from.

    Attributes:
        fixed: Tags that are never moved or dropped: all tags of the trigger first, in their order.
        free: The other tags; for a sentence, empty.
    """

    fixed: tuple[str, ...]
    free: tuple[str, ...] = ()

    @property
    def plain(self) -> str:
        """All tags in their own order."""
        return ", ".join((*self.fixed, *self.free))


class Captions:
    """Texts of captions under one set of rules.

    Args:
        rules: What is pruned, moved and dropped.
        matcher: Knows the taxonomy's tags, for pruning by axis; None: only `GROUPS` and patterns.
    """

    def __init__(self, rules: CaptionConfig, matcher: Matcher | None = None) -> None:
        self.rules, self._matcher = rules, matcher

    def texts(self, caption: str | None) -> tuple[Text, ...]:
        """What may be drawn for one caption; at least one text, empty where there is neither caption nor trigger."""
        lines = [caption or ""]
        if self.rules.alternatives:
            lines = [line for line in (caption or "").splitlines() if line.strip()] or [""]
        return tuple(dict.fromkeys(self._text(one_line(line)) for line in lines))

    def plain(self, caption: str | None) -> str:
        """The text to measure with: the first alternative, nothing moved or dropped."""
        return self.texts(caption)[0].plain

    def draw(self, texts: Sequence[Text], name: str, *exposure: keyed.Part) -> str:
        """The text of one exposure; "" where the whole caption is dropped.

        Args:
            texts: Of the picture.
            name: Of the picture, for its variants.
            exposure: Key of the exposure, for example seed, step and sample.
        """
        rng = keyed.generator("caption", *exposure)
        dropped, which, variant = (
            rng.random(),
            int(rng.integers(len(texts))),
            int(rng.integers(self.rules.variants or 1)),
        )
        if dropped < self.rules.dropout:
            return ""
        if self.rules.variants:
            return self.variant(texts[which], name, which, variant)
        return self._drawn(texts[which], "fresh", *exposure)

    def variant(self, text: Text, name: str, which: int, number: int) -> str:
        """One of the orders of a text that are encoded once."""
        return self._drawn(text, "variant", name, which, number)

    def all_texts(self, texts: Sequence[Text], name: str) -> set[str]:
        """Every text that `draw` can give for a picture, where that is finite (`variants` above 0)."""
        found = {self.variant(t, name, i, n) for i, t in enumerate(texts) for n in range(self.rules.variants)}
        return found | {""} if self.rules.dropout else found

    def _drawn(self, text: Text, *key: keyed.Part) -> str:
        rng = keyed.generator("tags", *key)
        left = [tag for tag in text.free if not self.rules.tag_dropout or rng.random() >= self.rules.tag_dropout]
        if self.rules.shuffle:
            left = [left[i] for i in rng.permutation(len(left))]
        return ", ".join((*text.fixed, *left))

    def _text(self, caption: str) -> Text:
        trigger = self.rules.trigger or ""
        if parse(caption).sentence:
            return Text((with_trigger(caption, trigger),))
        own, keep = trigger_tags(trigger), self.rules.keep_tokens
        named = [(tag, normal_tag(tag)) for tag in tags(caption)]
        others = [tag for tag, name in named if name not in own and not self._pruned(name)]
        return Text((*tags(trigger), *others[:keep]), tuple(others[keep:]))

    def _pruned(self, tag: str) -> bool:
        names = self.rules.prune
        if _group(tag) in names or (self._matcher and self._axis(tag) in names):
            return True
        return any(fnmatchcase(tag, normal_tag(name)) for name in names if name not in GROUPS)

    def _axis(self, tag: str) -> str | None:
        found = self._matcher.tags(tag) if self._matcher else []
        return found[0][1] if found else None


def _group(tag: str) -> str:
    """The first of `GROUPS` that a tag belongs to; "" for none."""
    if tag in NOT_LOOKS:
        return ""
    return next((name for name, patterns in GROUPS.items() if any(fnmatchcase(tag, p) for p in patterns)), "")
