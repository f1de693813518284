"""The plain words of the pages of runs: what each measure of an evaluation is called and means.

Not for numbers or layout: those are `run_report.py`, `runs_report.py` and the templates.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from reports import words
from reports.words import MeasureWords
from training.evaluate.views import FACE, spelt

MEASURES = {
    "loss.train": MeasureWords(
        "Loss on pictures it saw",
        "Logarithm of the LoRA's loss over the base's on training pictures, at equal noise: −0.4 is 33 % better.",
    ),
    "loss.held_out": MeasureWords(
        "Loss on pictures it did not see", "The same on held-out pictures; above 0 is worse than the base."
    ),
    "loss.gap": MeasureWords(
        "Gap between seen and unseen pictures",
        "Held-out less trained. Above 0 it is fitted to its very pictures, near-copies aside.",
    ),
    "loss.prior": MeasureWords("Loss on unrelated pictures", "Above 0 the LoRA forgets what the base could draw."),
    "memory.copied": MeasureWords(
        "Much nearer to one picture than to others",
        "Share of pictures more than three times nearer to one training moment than to any other (gap ratio).",
        share=True,
    ),
    "memory.authentic_excess": MeasureWords(
        "Fresh pictures beyond chance",
        "Share of pictures farther from their nearest training picture than that is from its own neighbours, less what "
        "left-out training pictures score: below 0 is copying.",
        share=True,
    ),
    "memory.nearer": MeasureWords(
        "Nearer than real ones",
        "Chance that a picture lies nearer to the set than its own ones do to one another: 50 % fresh, 100 % copies.",
        share=True,
    ),
    "memory.alike": MeasureWords(
        "More alike than different moments are",
        "Share of pictures more alike to a training picture than 95 % of the set's moments are to one another.",
        share=True,
    ),
    "copies.share": MeasureWords(
        "Copies", "Share of pictures that can be laid over a training picture and then agree with it.", share=True
    ),
    "copies.captions": MeasureWords(
        "Copies at captions",
        "The same share where a picture is asked for with the caption of a training picture; weight 0 is the base.",
        share=True,
    ),
    "copies.captions.difference": MeasureWords(
        "Copies at captions beyond the base's", "At equal captions and seeds; above 0 the LoRA copies.", share=True
    ),
    "control.lora": MeasureWords(
        "Novel prompts answered",
        "By judges: share of what was asked that is shown. By tagger: mean probability of the tags asked for. By text: "
        "cosine of picture and words.",
    ),
    "control.base": MeasureWords("The same by the base", "At equal prompts and seeds."),
    "control.difference": MeasureWords(
        "Control gained or lost", "The LoRA's less the base's; below 0 is lost control."
    ),
    "looks.lora": MeasureWords("The subject's own looks shown", "As judged, on prompts with the trigger.", share=True),
    "looks.base": MeasureWords("The same by the base", "What chance gives.", share=True),
    "looks.difference": MeasureWords("Looks learnt", "The LoRA's less the base's.", share=True),
    "looks.view": MeasureWords(
        "View and looks right",
        "Share of what the prompt asks for and of the subject's looks that judges see.",
        share=True,
    ),
    "truth.right": MeasureWords("Pictures that judges find right", "One attribute at a time.", share=True),
    "leak.share": MeasureWords(
        "There without the trigger word", "Share of the LoRA's effect that needs no trigger: 0 is clean.", share=True
    ),
    "leak.leak": MeasureWords("Likeness without the trigger", "To held-out pictures, the LoRA's less the base's."),
    "leak.effect": MeasureWords("Likeness with the trigger", "To held-out pictures, the LoRA's less the base's."),
    "variety.ratio": MeasureWords(
        "Variety left",
        "How many different pictures a prompt's seeds give, against the base (Vendi scores).",
        share=True,
    ),
    "variety.lora": MeasureWords("Different pictures of a prompt", "Vendi score of its seeds."),
    "variety.base": MeasureWords("The same by the base", "Vendi score of its seeds."),
    "drift.share": MeasureWords(
        "Unrelated pictures moved",
        "How far pictures without the trigger word move, against what another seed would: 0 stays, 1 another picture.",
        share=True,
    ),
    "drift.change": MeasureWords("Unrelated pictures differ from the base's", "1 - cosine at equal noise."),
    "drift.chance": MeasureWords("The base's own seeds differ", "1 - cosine: what changes anyway."),
    "colour.towards": MeasureWords(
        "Way to the set's colours",
        "How far pictures of these prompts came from the base's colours to the training set's, cut-outs left out.",
        share=True,
    ),
    "colour.specific": MeasureWords(
        "Of it beyond any change",
        "The same less the way to a control palette; only above 0 is it migration.",
        share=True,
    ),
    "colour.change": MeasureWords("Colours changed", "CIELAB units, at equal noise; 2 is just visible."),
    "colour.chance": MeasureWords("Colours of the base's own seeds differ", "CIELAB units: what changes anyway."),
    "colour.slope": MeasureWords("Way to the set's colours per unit of weight", "Least squares within prompts."),
    "colour.relief": MeasureWords(
        "Helped more by the keyword",
        "Colours left with a weaker LoRA less those with a softer trigger word.",
        share=True,
    ),
    "fidelity": MeasureWords(
        "Likeness to real pictures of the view", "Mean cosine, held-out pictures where there are."
    ),
    "faces.found": MeasureWords(
        "Full-body pictures in which a face is found", "Where none is found, it may be broken.", share=True
    ),
    "fidelity.gain": MeasureWords("Likeness gained over the base", "At the best weight."),
    "fidelity.holds": MeasureWords("Holds from this weight on", "At least 80 % of the best gain is there."),
    "band.low": MeasureWords("Lowest usable weight", "Every view that can be drawn is there, nothing else is lost."),
    "band.high": MeasureWords("Highest usable weight", "Above it, copies, colours or lost control."),
    "band.usable": MeasureWords("Usable", "1 where nothing speaks against a weight."),
    "binding.before": MeasureWords(
        "Bound to a look in the set", "How far the tag alone tells the look: 0 not, 1 wholly, chance taken off."
    ),
    "binding.after": MeasureWords("Drags that look along", "Likeness to it that the tag adds, beyond the base."),
    "binding.softer": MeasureWords("The same with a softer tag", "The tag at a lower weight in the prompt."),
    "binding.weaker": MeasureWords("The same with a weaker LoRA", "The LoRA lowered as far as the softer tag."),
    "binding.relief": MeasureWords(
        "Helped more by the tag", "What is dragged along with a weaker LoRA less that with a softer tag."
    ),
    "blend.towards": MeasureWords(
        "Way to the other character",
        "Pictures asked for by one trigger word, on the line from its real pictures (0 %) to the other's (100 %).",
        share=True,
    ),
    "blend.apart": MeasureWords(
        "The two stay apart", "100 % as far apart as their real pictures, 0 % one and the same.", share=True
    ),
    "advice.step": MeasureWords("Advised checkpoint", "Least loss on held-out pictures."),
    "advice.overfits_from": MeasureWords(
        "Overfits from", "Held-out loss surely above its least, training still falling."
    ),
}
_FACE = re.compile(rf"\b[\w/]+/{FACE}\b")
COSINES = ("fidelity",)  # measures that lie between -1 and 1
AT_CAPTIONS = "memory.captions."  # what goes before a measure of memory at captions of training pictures
BANDS = {"low": "little noise", "mid": "middling noise", "high": "much noise"}
STATES = {"bad": "missing", "good": "ample", "open": "rare"}  # of evidence, as the style sheet colours chips
SAID = {"bad": "against it", "good": "for it", "open": "not sure"}


def of(measure: str) -> MeasureWords:
    """The words of a measure; its own name where it has none."""
    if measure.startswith("richness."):
        return words.measure_words(measure.removeprefix("richness."))
    if measure.startswith(AT_CAPTIONS):
        base = MEASURES[f"memory.{measure.removeprefix(AT_CAPTIONS)}"]
        return MeasureWords(f"{base.name}, at captions", base.meaning, base.share)
    parts = measure.rsplit(".", 1)
    if parts[-1] in BANDS and parts[0] in MEASURES:
        base = MEASURES[parts[0]]
        return MeasureWords(f"{base.name}, {BANDS[parts[-1]]}", base.meaning, base.share)
    return MEASURES.get(measure, MeasureWords(measure, ""))


def settings(text: str) -> str:
    """What a row was measured at, in words: "weight 0.7, full body from behind"."""
    told: Mapping[str, Any] = json.loads(text)
    said = []
    for name, value in told.items():
        if name in ("features", "tagger", "encoder", "level", "kernel", "line", "seeds", "state", "p"):
            continue
        if name == "view":
            said.append(view(str(value)))
        elif isinstance(value, list):
            said.append(readable(", ".join(map(str, value))) or "nothing against it")
        elif name in ("weight", "keyword_weight", "step", "tag", "look", "attribute", "word", "other"):
            said.append(f"{name.replace('_', ' ')} {value:g}" if isinstance(value, float) else f"{name} {value}")
        else:
            said.append(f"{name} {value}")
    return ", ".join(said)


def note(line: str) -> str:
    """A note with its measure in words: "leak.share: …" becomes "There without the trigger word: …"."""
    measure, found, rest = line.partition(": ")
    return f"{of(measure).name}: {rest}" if found and measure in MEASURES else line


def view(label: str) -> str:
    """A view in words; "" for none."""
    if label.endswith(f"/{FACE}"):
        return spelt(label)
    return words.cell_phrase(label) if label else ""


def readable(text: str) -> str:
    """`text` with views such as `full_body/back` and `full_body/front/face` in words."""
    return words.readable(_FACE.sub(lambda found: spelt(found[0]), text))


def value(row: Mapping[str, Any]) -> str:
    """A row's value."""
    return words.number(row["value"], share=of(row["measure"]).share)


def span(row: Mapping[str, Any]) -> str:
    """A row's interval, as "4 to 9"; "" where there is none. A cosine's ends at 1, whatever Student's t says."""
    if row["low"] is None or row["high"] is None:
        return ""
    ends = (row["low"], row["high"])
    if row["measure"] in COSINES:
        ends = (max(ends[0], -1.0), min(ends[1], 1.0))
    low, high = (words.number(end, share=of(row["measure"]).share) for end in ends)
    return f"{low.removesuffix(' %')} to {high}"
