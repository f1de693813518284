"""Captions as tags or sentences, what they say about views, and tag statistics.

Not for changing captions (pruning, trigger words) and not for the views themselves: that is `views.py`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from diversity import tables
from diversity.taxonomy import Axis, TagRule, Taxonomy, words

Words = tuple[str, ...]

_LONGEST_TAG = 5  # words; booru tags rarely have more, sentences nearly always
_SENTENCE = re.compile(r"^(a|an|the|this)\b|\b(is|are|seen|viewed|shown)\b|[.!?]$")
_NEGATION = frozenset({"no", "not", "without", "never", "isn", "don", "doesn", "aren", "neither"})
_UNSEEN = (("not", "visible"), ("not", "shown"), ("out", "of", "frame"), ("not", "in", "frame"))


APART = ("artist", "quality", "rating", "meta")  # groups of tags that do not say what a picture shows
_RATING = re.compile(r"rating[: ].+|(safe|sfw|nsfw|sensitive|questionable|explicit|general)( rating)?")
_QUALITY = re.compile(
    r"masterpiece|((best|amazing|great|high|good|normal|medium|average|low|bad|worst|lowest) quality)"
    r"|(very )?(aesthetic|displeasing)|(absurd|high|low)res|incredibly absurdres|score \d( up)?|source \w+"
    r"|newest|oldest|year \d{4}|quality:.+"
)
_ARTIST = re.compile(r"artist:.+|(art|drawn|artwork) by .+")


@dataclass(frozen=True)
class Caption:
    """A caption taken apart.

    Attributes:
        tags: Chunks between commas, normalised as by `normal_tag`; whole sentences for a sentence caption.
        sentence: Natural language rather than a list of tags.
    """

    tags: tuple[str, ...]
    sentence: bool


@dataclass(frozen=True)
class Evidence:
    """What a caption says on one axis.

    Attributes:
        label: The label its strongest, most specific tag stands for.
        confidence: 0..1, from the tag's rule.
        may_be: Labels that the tag is also used for.
        tag: The words that said so.
    """

    label: str
    confidence: float
    may_be: tuple[str, ...]
    tag: str


def parse(caption: str) -> Caption:
    """Take a caption apart: booru or plain tags between commas, or sentences.

    A caption is a sentence where any chunk has more than five words, starts with an article, ends with a full stop or
    holds a verb such as "is" or "seen", or where it is one chunk of more than three words.
    """
    text = re.sub(r"<[^<>]*>|\bBREAK\b|\|\|\|", ",", caption)
    chunks = [chunk.strip() for chunk in re.split(r"[,;\n\r]|(?<=[.!?])\s", text)]
    chunks = [chunk for chunk in chunks if chunk]
    lengths = [len(chunk.replace("_", " ").split()) for chunk in chunks]
    sentence = len(chunks) == 1 and lengths[0] > 3
    sentence = sentence or any(
        length > _LONGEST_TAG or _SENTENCE.search(chunk.lower()) for chunk, length in zip(chunks, lengths, strict=True)
    )
    tags = tuple(dict.fromkeys(tag for tag in map(normal_tag, chunks) if tag))
    return Caption(tags, sentence)


def normal_tag(tag: str) -> str:
    r"""Lower case, spaces for underscores, without prompt weights: "(From_Behind:1.2)" → "from behind".

    Escaped parentheses stay as plain ones, "name \(series\)" → "name (series)"; emoticons of up to three characters
    stay as they are (the convention of kohya's taggers).
    """
    tag = tag.strip().replace("\\(", "\x01").replace("\\)", "\x02")
    if len(tag) > 3:
        tag = tag.lstrip("([{")
        while tag and tag[-1] in ")]}" and tag.count(")") > tag.count("("):
            tag = tag[:-1]
        tag = tag.rstrip("]}") if "[" not in tag and "{" not in tag else tag
        tag = re.sub(r":\d*\.?\d+$", "", tag)
        tag = " ".join(tag.replace("_", " ").split())
    return tag.replace("\x01", "(").replace("\x02", ")").lower()


def trigger_tags(trigger: str | None) -> tuple[str, ...]:
    r"""Tags of a trigger in their order, normalised: "mira \(game\), 1girl" → ("mira (game)", "1girl"); () for none.

    Every one of them is part of the trigger: they stay together, first and in this order, wherever a trigger stands.
    """
    return tuple(dict.fromkeys(tag for tag in map(normal_tag, (trigger or "").split(",")) if tag))


def apart_group(tag: str) -> str | None:
    """The group of a tag that does not say what a picture shows: "artist", "quality" or "rating"; else None."""
    text = normal_tag(tag)
    patterns = {"rating": _RATING, "quality": _QUALITY, "artist": _ARTIST}
    return next((group for group, pattern in patterns.items() if pattern.fullmatch(text)), None)


class Matcher:
    """Finds the taxonomy's tags in captions; built once, used for every caption."""

    def __init__(self, taxonomy: Taxonomy) -> None:
        self._axes = {name: _AxisMatcher(axis) for name, axis in taxonomy.axes.items()}

    def evidence(self, caption: str | None) -> dict[str, Evidence]:
        """Axis → what the caption says on it; axes it says nothing or contradicts itself on are left out."""
        if not caption:
            return {}
        parsed = parse(caption)
        chunks = [words(tag) for tag in parsed.tags]
        found = {name: axis.evidence(chunks, parsed.sentence) for name, axis in self._axes.items()}
        return {name: evidence for name, evidence in found.items() if evidence is not None}

    def tags(self, caption: str | None) -> list[tuple[str, str | None]]:
        """(tag, group or None) of one caption; of a sentence only the phrases that the taxonomy knows.

        The group is the axis that a tag speaks on, or one of `APART`.
        """
        if not caption:
            return []
        parsed = parse(caption)
        if not parsed.sentence:
            return [(tag, self._group(words(tag)) or apart_group(tag)) for tag in parsed.tags]
        chunks = [words(tag) for tag in parsed.tags]
        found = [(" ".join(p), name) for name, axis in self._axes.items() for p in axis.phrases(chunks, True)]
        return list(dict.fromkeys(found))

    def _group(self, tag: Words) -> str | None:
        return next((name for name, axis in self._axes.items() if tag in axis.rules), None)


class _AxisMatcher:
    def __init__(self, axis: Axis) -> None:
        self.rules: dict[Words, list[tuple[str, TagRule]]] = defaultdict(list)
        for label, spec in axis.labels.items():
            for rule in spec.tags:
                self.rules[words(rule.tag)].append((label, rule))
        self.rules = dict(self.rules)
        ignored = (words(phrase) for phrase in axis.ignore)
        self._starts: dict[str, list[Words]] = defaultdict(list)
        for phrase in dict.fromkeys((*self.rules, *ignored)):
            self._starts[phrase[0]].append(phrase)

    def evidence(self, chunks: list[Words], sentence: bool) -> Evidence | None:
        candidates: list[tuple[frozenset[str], Evidence]] = []
        for phrase in self.phrases(chunks, sentence):
            for label, rule in self.rules[phrase]:
                beside = self._applies(rule, chunks, sentence)
                if beside is not None:
                    said = Evidence(label, rule.confidence, rule.may_be, rule.tag)
                    candidates.append((frozenset(phrase) | beside, said))
        specific = [e for held, e in candidates if not any(held < other for other, _ in candidates)]
        if not specific:
            return None
        top = max(e.confidence for e in specific)
        strongest = [e for e in specific if e.confidence == top]
        return strongest[0] if len({e.label for e in strongest}) == 1 else None

    @staticmethod
    def _applies(rule: TagRule, chunks: list[Words], sentence: bool) -> frozenset[str] | None:
        """The words of the needed neighbours (empty where none are needed), or None where the rule does not count."""
        if (rule.whole and sentence) or any(_holds(chunks, words(other)) for other in rule.unless):
            return None
        beside = [words(other) for other in rule.needs if _holds(chunks, words(other))]
        if rule.needs and not beside:
            return None
        return frozenset(word for other in beside for word in other)

    def phrases(self, chunks: list[Words], sentence: bool) -> Iterator[Words]:
        """Rule phrases in the caption: whole tags, or within sentences the longest ones that are not denied."""
        if not sentence:
            yield from (chunk for chunk in chunks if chunk in self.rules)
            return
        for chunk in chunks:
            spans = [
                (start, start + len(phrase))
                for start, word in enumerate(chunk)
                for phrase in self._starts.get(word, ())
                if chunk[start : start + len(phrase)] == phrase
            ]
            for low, high in spans:
                covered = any(a <= low and high <= b and (a, b) != (low, high) for a, b in spans)
                if not covered and chunk[low:high] in self.rules and not _denied(chunk, low, high):
                    yield chunk[low:high]


def _holds(chunks: list[Words], phrase: Words) -> bool:
    n = len(phrase)
    return any(chunk[i : i + n] == phrase for chunk in chunks for i in range(len(chunk) - n + 1))


def _denied(chunk: Words, low: int, high: int) -> bool:
    before = chunk[max(0, low - 2) : low]
    after = chunk[high : high + 5]
    return bool(_NEGATION & set(before)) or any(_holds([after], phrase) for phrase in _UNSEEN)


def tag_table(
    images: pl.DataFrame, taxonomy: Taxonomy, apart: Mapping[str, Sequence[tuple[str, str]]] | None = None
) -> pl.DataFrame:
    """The tags of every caption → `tags.parquet`.

    Args:
        images: Has `key` and `caption` (null: none), and with `apart` also `path`.
        taxonomy: Gives `group`: the axis a tag speaks on, or null.
        apart: Path → (group, tag) that a record says beside the caption, groups of `APART`.

    Returns:
        key, tag, group; sorted by key, a caption's tags in its own order, then those set apart, each once.
    """
    matcher = Matcher(taxonomy)
    rows: dict[tuple[str, str], str | None] = {}
    for row in images.sort("key").iter_rows(named=True):
        for tag, group in matcher.tags(row["caption"]):
            rows.setdefault((row["key"], tag), group)
        for group, tag in apart[row["path"]] if apart and row["path"] in apart else ():
            rows.setdefault((row["key"], normal_tag(tag)), group)
    found = [(key, tag, group) for (key, tag), group in rows.items()]
    return pl.DataFrame(found, schema=tables.TAGS, orient="row")


def tag_statistics(tags: pl.DataFrame) -> pl.DataFrame:
    """How often each tag is used → tag, group, count (captions), share (of captions with tags); commonest first."""
    total = max(tags["key"].n_unique(), 1)
    counted = tags.group_by("tag").agg(pl.col("group").first(), pl.col("key").n_unique().cast(pl.Int64).alias("count"))
    return counted.with_columns((pl.col("count") / total).alias("share")).sort(
        ["count", "tag"], descending=[True, False]
    )
