"""What an evaluation means in plain words: one sentence, the evidence, and what to change in the pictures.

Not for measuring. The limits are usual values; the richness ladder is to replace them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from diversity.binding import Binding
from training.evaluate.adherence import BY, Control
from training.evaluate.bound import Bound
from training.evaluate.estimate import Estimate
from training.evaluate.lora import Evaluation, Findings
from training.evaluate.loss_gap import LEAST_GROUPS, Advice, LossGap
from training.evaluate.overlaid import AtCaptions, Copies
from training.evaluate.sets import EvaluationSets
from training.evaluate.sweep import Limits, Sweep
from training.evaluate.views import FACE, spelt

VARIETY_LOST = 0.7  # ratio of Vendi scores to the base's, below which prompts are answered alike
BLENDS = 0.25  # of the way from one character to the other
MOVES = 0.7  # of the way that another seed would move unrelated pictures; the ladder's, see docs/overfitting.md
LEAKS = 0.3  # share of the LoRA's effect that comes without its trigger
ALWAYS = 0.9  # of "nine times in ten": how a share is said


DRIFTS = ("colours", "control", "leak", "drift", "blend", "variety")  # topics, the worst first


@dataclass(frozen=True)
class Evidence:
    """One sentence and what it means.

    Attributes:
        topic: "copies", "losses", "colours", "variety", "control", "leak", "drift", "blend", "weights", "checkpoints"
            or "binding".
        text: The sentence.
        state: "bad", "good" or "open" (not sure either way).
    """

    topic: str
    text: str
    state: str


@dataclass(frozen=True)
class Verdict:
    """What to think of a LoRA.

    Attributes:
        state: "copies", "overfit", "drifts", "unlearnt", "sound" or "open".
        headline: One sentence.
        use: Weight and checkpoint to use, one sentence; "" where it is not known.
        evidence: The sentences behind it.
        data: What to change in the pictures, before any setting is touched.
    """

    state: str
    headline: str
    use: str
    evidence: tuple[Evidence, ...]
    data: tuple[str, ...]


def judge(evaluation: Evaluation, sets: EvaluationSets, advice: Advice | None = None) -> Verdict:
    """Say it in words.

    Args:
        evaluation: The numbers.
        sets: What they were measured on.
        advice: On checkpoints, where there are several.
    """
    findings = evaluation.findings
    evidence = tuple(_evidence(findings, advice))
    bad = {one.topic for one in evidence if one.state == "bad"}
    gap = _first(findings.gaps)
    if "copies" in bad:
        state, headline = "copies", f"It copies: {_of(evidence, 'copies')}"
    elif gap is not None and gap.verdict == "overfit":
        state, headline = "overfit", f"Overfitted: {gap.sentence()}."
    elif bad & set(DRIFTS):
        topic = next(name for name in DRIFTS if name in bad)
        state, headline = "drifts", f"It does more than it should: {_of(evidence, topic)}"
    elif gap is not None and gap.train.above(-0.02) and gap.train.known:
        state, headline = "unlearnt", f"It has hardly learnt anything: {gap.sentence()}."
    elif gap is None or gap.verdict == "too few groups":
        state, headline = "open", _untold(gap)
    elif _unlearnt(findings):
        state, headline = "unlearnt", f"Its pictures show nothing for sure yet: {gap.sentence()}."
    elif gap.verdict == "gap":
        state, headline = "sound", f"Sound, though closer to its own pictures: {gap.sentence()}."
    else:
        state, headline = "sound", f"Sound: {gap.sentence()}."
    return Verdict(state, headline, _use(findings, advice), evidence, tuple(_data(evaluation, sets, evidence)))


def _untold(gap: LossGap | None) -> str:
    """Whether it overfits cannot be told; what would tell it."""
    if gap is None:
        return (
            "No fault in what could be measured; whether it overfits cannot be told without held-out pictures "
            "(--held-out FOLDER)."
        )
    moments = "1 moment is" if gap.held_out.n == 1 else f"{gap.held_out.n} moments are"
    return (
        f"Whether it overfits cannot be told: {gap.sentence()}, but only {moments} held out, and {LEAST_GROUPS} are "
        f"the least. `diversity train --folds {LEAST_GROUPS}` holds out each of them once."
    )


def _unlearnt(findings: Findings) -> bool:
    """Whether views or trigger were measured, and nothing of them is known to be learnt; the evidence says which."""
    views = [] if findings.sweep is None else [view.gain for view in findings.sweep.views.values()]
    effect = None if findings.leak is None or not findings.leak.effect.known else findings.leak.effect
    looks = None if findings.looks is None else findings.looks.difference
    sure = [one.above(0) for one in (*views, effect, looks) if one is not None]
    return bool(sure) and not any(sure)


def _evidence(findings: Findings, advice: Advice | None) -> Iterator[Evidence]:
    yield from _losses(findings.gaps)
    yield from _copies(findings)
    yield from _drift(findings)
    yield from _blend(findings)
    yield from _weights(findings)
    for one in findings.bound:
        if one.dragged.above(0):
            yield Evidence("binding", f"Adding “{one.tag}” to a prompt drags {spelt(one.look)} along.", "bad")
            yield from _relieved(one)
    if advice is not None and advice.step is not None:
        words = f"Held-out pictures are drawn best at step {advice.step:,}"
        if advice.overfits_from is not None:
            yield Evidence("checkpoints", f"{words}; from step {advice.overfits_from:,} on they get worse.", "bad")
        else:
            yield Evidence("checkpoints", f"{words}.", "good")


def _relieved(one: Bound) -> Iterator[Evidence]:
    """Which of the two knobs takes more of it off, where that is sure."""
    for soft in one.softened:
        knobs = (f"“{one.tag}” at {soft.weight:g} in the prompt", f"the LoRA at {soft.weight:g} of its weight")
        if soft.relief.above(0) or soft.relief.below(0):
            better, worse = knobs if soft.relief.value > 0 else knobs[::-1]
            text = f"{better[0].upper()}{better[1:]} drags less of it along than {worse}."
            yield Evidence("binding", text, "open")


def _losses(gaps: Mapping[str, LossGap]) -> Iterator[Evidence]:
    states = {"overfit": "bad", "gap": "open", "no gap": "good", "too few groups": "open"}
    for name, gap in gaps.items():
        if name:
            held = "" if len(gaps) == 1 else f" ({name} set)"
            few = f" Fewer than {LEAST_GROUPS} held-out moments: no verdict." if gap.verdict == "too few groups" else ""
            sentence = gap.sentence()
            text = f"{sentence[0].upper()}{sentence[1:]}{held}, {_n(gap.gap)}.{few}"
            yield Evidence("losses", text, states[gap.verdict])
    prior = next((gap.prior for gap in gaps.values() if gap.prior is not None), None)
    if prior is not None and prior.above(0):
        worse = _percent(math.exp(prior.value) - 1)
        yield Evidence("losses", f"Unrelated pictures are drawn {worse} worse than by the base.", "open")


def _copies(findings: Findings) -> Iterator[Evidence]:
    copies, memory = findings.copies, findings.memory
    if copies is not None and copies.shares:
        weight = max(copies.shares)
        total = memory.drawn if memory is not None else tuple(copies.matches)
        copied = sum(copies.is_copy(row) for row in total)
        if copied:
            verb = "is a copy" if copied == 1 else "are copies"
            text = f"{copied} of {len(total)} pictures at weight {weight:g} {verb} of training pictures."
            yield Evidence("copies", text, "bad" if copied > Limits().copies * len(total) else "open")
        else:
            yield Evidence("copies", f"None of {len(total)} pictures is a copy of a training picture.", "good")
    if copies is not None and copies.captions is not None:
        yield _at_captions(copies, copies.captions)
    if memory is not None and memory.found.nearer.known:
        nearer = memory.found.nearer
        if nearer.above(0.5):
            text = (
                f"Pictures lie nearer to the training set than its own pictures lie to one another ({_span(nearer)})."
            )
            yield Evidence("copies", text, "open")


def _at_captions(copies: Copies, found: AtCaptions) -> Evidence:
    copied, tries = sum(copies.is_copy(row) for row in found.drawn), len(found.drawn)
    beyond = found.difference.above(0) and found.difference.value > Limits().copies
    text = "Asked for training pictures with their own captions, it draws "
    if not copied:
        return Evidence("copies", f"{text}no copy in {tries} tries.", "good")
    base = f"in {_percent(found.base.value)} of its own" if found.base.value else "in none"
    text += f"a copy in {copied} of {tries} tries; the base {base}."
    return Evidence("copies", text, "bad" if beyond else "open")


def _drift(findings: Findings) -> Iterator[Evidence]:
    if findings.colours is not None and findings.colours.unrelated:
        weight = max(findings.colours.unrelated)
        found = findings.colours.unrelated[weight]
        towards = found.towards["colour"]
        words = f"Unrelated prompts come {_percent(towards.value)} of the way to the set's colours ({_span(towards)})"
        if towards.known and found.specific.above(0) and towards.value > Limits().colour:
            yield Evidence("colours", f"{words}.", "bad")
        elif towards.known:
            yield Evidence("colours", f"{words}.", "good" if towards.high <= Limits().colour else "open")
    if findings.drift:
        share = findings.drift[max(findings.drift)].share
        words = f"Pictures without the trigger word move {_percent(share.value)} as far as another seed would"
        if share.known:
            state = "bad" if share.above(MOVES) else "good" if share.high <= MOVES else "open"
            yield Evidence("drift", f"{words} ({_span(share)}).", state)
    variety = findings.variety
    if variety is not None and variety.ratio.known:
        words = (
            f"Seeds of one prompt keep {_percent(variety.ratio.value)} of the base's variety ({_span(variety.ratio)})."
        )
        lost = variety.ratio.below(1) and variety.ratio.value < VARIETY_LOST
        yield Evidence("variety", words, "bad" if lost else "good" if variety.ratio.low >= VARIETY_LOST else "open")
    by = next((name for name in BY if name in findings.control), None)
    if by is not None:
        yield _answered(by, findings.control[by])
    if findings.leak is not None and findings.leak.share.known:
        share = findings.leak.share
        text = f"{_percent(share.value)} of the effect is there without the trigger word ({_span(share)})."
        leaks = share.above(0) and share.value > LEAKS
        yield Evidence("leak", text, "bad" if leaks else "good" if share.high <= LEAKS else "open")


def _answered(by: str, control: Control) -> Evidence:
    """Whether novel prompts are still answered, as the surest of what was asked says."""
    change = control.difference
    shown, base = _percent(control.lora.value), _percent(control.base.value)
    if by == "judges":
        text = f"{shown} of what novel prompts ask for is shown; the base shows {base}."
    elif by == "tagger":
        text = f"The tagger sees {shown} of the tags that novel prompts ask for; of the base's pictures {base}."
    else:
        moved = f"{change.value:+.3f} ({change.low:.3f} to {change.high:.3f})"
        text = f"Likeness to the words of novel prompts changed by {moved}."
    lost = change.below(0) and change.value < -Limits().control
    kept = not change.below(0) and change.low >= -Limits().control
    return Evidence("control", text, "bad" if lost else "good" if kept else "open")


def _blend(findings: Findings) -> Iterator[Evidence]:
    if findings.blended is not None:
        words, found = findings.blended.words, findings.blended.found
        for (word, other), place in zip((words, words[::-1]), (found.first, found.second), strict=True):
            if place.known:
                way = _percent(max(0.0, place.value))
                text = f"Asked for “{word}” it draws {way} of the way to “{other}” ({_span(place)})."
                blends = place.above(0) and place.value > BLENDS
                yield Evidence("blend", text, "bad" if blends else "good" if place.high <= BLENDS else "open")


def _weights(findings: Findings) -> Iterator[Evidence]:
    sweep = findings.sweep
    if sweep is not None:
        sentence = _views_in(sweep.sentence(), [*sweep.views])
        state = "open" if sweep.unlearned else "bad" if sweep.band is None else "good"
        yield Evidence("weights", f"{sentence[0].upper()}{sentence[1:]}.", state)
        if sweep.band is not None:
            low, high = sweep.band
            holds = low <= 0.7 and high >= 0.5
            text = "A weight between 0.5 and 0.7 works." if holds else "No weight between 0.5 and 0.7 works."
            yield Evidence("weights", text, "good" if holds else "bad")
    colours = findings.colours
    if colours is not None:
        for weight, relief in colours.relief.items():
            if relief.above(0):
                text = f"The trigger word at {weight:g} frees the colours more than the LoRA at {weight:g}."
                yield Evidence("colours", text, "open")


def _use(findings: Findings, advice: Advice | None) -> str:
    step = "" if advice is None or advice.step is None else f"step {advice.step:,}"
    band = findings.sweep.band if findings.sweep is not None else None
    weight = "" if band is None else f"weight {band[0]:g}" if band[0] == band[1] else f"weight {band[0]:g}–{band[1]:g}"
    parts = [part for part in (step, weight) if part]
    return f"Use {' at '.join(parts)}." if parts else ""


def _data(evaluation: Evaluation, sets: EvaluationSets, evidence: Sequence[Evidence]) -> Iterator[str]:
    """What to change in the pictures: every fault has a cause there that is looked for first."""
    findings, bad = evaluation.findings, {one.topic for one in evidence if one.state == "bad"}
    gap = _first(findings.gaps)
    overfit = gap is not None and gap.verdict == "overfit"
    acts = _number(evaluation, "richness.effective_rank")
    if overfit or bad & {"copies", "variety"}:
        like = f" {len(sets.train)} pictures act like about {acts:.0f} different ones." if acts is not None else ""
        yield f"Add pictures unlike those there: other outfits, poses, places, sides.{like}"
    for name in _copied_sources(evaluation, sets):
        yield f"“{name}” is copied: add neighbours of it (the same view, another moment), or show it less often."
    yield from _failing(findings.sweep)
    if "colours" in bad:
        yield "Vary backgrounds and light, or cut the subject out: the set's colours are learnt as part of the subject."
    if "leak" in bad:
        yield "Add related pictures without the trigger word, so that only the word stands for the subject."
    if "drift" in bad:
        yield (
            "Use it at a lower weight, and add related pictures without the trigger word: what is not the subject "
            "is to stay as the base draws it."
        )
    if "blend" in bad and findings.blended is not None:
        one, two = findings.blended.words
        yield (
            f"“{one}” and “{two}” run into one another: give both the same views and as many exposures, and keep each "
            "word out of the other's captions."
        )
    for tag in findings.bindings:
        if tag.state == "bound":
            yield _bound(tag)


def _failing(sweep: Sweep | None) -> Iterator[str]:
    """What to add for views that no weight draws; nothing where none at all is learnt."""
    for view in () if sweep is None or sweep.unlearned else sweep.failing:
        add = "Add pictures of this view."
        if view.endswith(f"/{FACE}"):  # claim C8
            add = "Add sharp full- and half-body pictures rather than more headshots."
        yield f"{spelt(view).capitalize()}: no weight draws it as in real pictures. {add}"


def _bound(one: Binding) -> str:
    often = f"{_percent(one.share)} of the time" if one.share < ALWAYS else "nearly always"
    return f"“{one.tag}” is {often} {spelt(one.look)}: add three others, or delete the tag."


def _copied_sources(evaluation: Evaluation, sets: EvaluationSets) -> list[str]:
    copies = evaluation.findings.copies
    if copies is None:
        return []
    rows = [match.row for row, match in sorted(copies.matches.items()) if copies.is_copy(row)]
    return [sets.train.names[row] for row in dict.fromkeys(rows)][:3]


def _number(evaluation: Evaluation, measure: str) -> float | None:
    values = evaluation.rows.filter(evaluation.rows["measure"] == measure)["value"].to_list()
    return float(values[0]) if values else None


def _first(gaps: Mapping[str, LossGap]) -> LossGap | None:
    return next((gap for name, gap in gaps.items() if name), None)


def _of(evidence: Sequence[Evidence], topic: str) -> str:
    text = next(one.text for one in evidence if one.topic == topic and one.state == "bad")
    return text[0].lower() + text[1:]


def _views_in(text: str, views: Sequence[str]) -> str:
    for view in sorted(views, key=len, reverse=True):  # "full_body/front" before "full_body"
        text = text.replace(view, spelt(view))
    return text


def _n(found: Estimate) -> str:
    return f"{found.n} {found.unit}"


def _percent(share: float) -> str:
    text = f"{share:.0%}"
    return {"-0%": "0%"}.get(text, text).replace("%", " %").replace("-", "−")


def _span(found: Estimate) -> str:
    return f"{_percent(found.low)} to {_percent(found.high)}, {_n(found)}"
