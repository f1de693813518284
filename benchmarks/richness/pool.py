"""All pictures of one character that any set of the ladder can be made of, rendered once and kept on disk.

Not for choosing among them: that is `arms.py`. The same code and seed give the same pictures on the same machine.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.richness.people import OTHERS_SEED, Subject, Toon, second_form
from benchmarks.toonworld import prompts, render
from benchmarks.toonworld.camera import FRAMINGS, Shot
from benchmarks.toonworld.character import sample_character
from benchmarks.toonworld.figures import ZOOM
from benchmarks.toonworld.head import EXPRESSIONS
from benchmarks.toonworld.scene import BACKDROPS, Picture, Renderer
from diversity import record
from diversity.workspace import atomic, write_text

SIZE = 128
GOLDEN = 137.50776  # degrees: the first k of them lie around the whole circle for every k
BACKGROUNDS = ("flat", "gradient")  # of named colours, which the base can draw; its "horizon" is left for prompts
TURN, FACE, THIEF, MOMENTS, FRAMES = 36, 72, 56, 12, 16
TRAINED_MOMENTS = 4  # of MOMENTS; the others are one held-out frame each
COMMON = (  # the common held-out set; every view of `asked.VIEWS` is in it
    ("headshot", (8.0, 50.0, 170.0)),
    ("half_body", (-20.0, 95.0, -160.0)),
    ("full_body", (15.0, -90.0, 165.0)),
    ("detail", (-10.0, 80.0, -170.0)),
)
RELATED, PRIOR, STYLES, STYLE_SHOTS = 16, 6, 16, 4
KEPT = ("caption", "group", "view", "background", "azimuth")  # of an item, beside its pixels
VERSION = 3  # of what is drawn: raise it when that changes


@dataclass(frozen=True)
class Planned:
    """One picture to draw.

    Attributes:
        part: Of the pool.
        shot: How; the pose is settled when it is drawn.
        group: Moment; near-copies share it.
        key: What its random pose is drawn from; empty: the still pose.
        form: 0, or 1 for the second form.
    """

    part: str
    shot: Shot
    group: str
    key: tuple[int, ...] = ()
    form: int = 0


@dataclass(frozen=True)
class Item:
    """One drawn picture.

    Attributes:
        pixels: RGB uint8 [s, s, 3].
        caption: Without trigger and looks; of other characters, with looks.
        group: Near-copies share it.
        view: "framing/side".
        background: Kind.
        azimuth: Degrees from the front.
        weight: Relative exposures.
        word: Trigger word before its caption; "": the usual one.
        tags: Further tags after the trigger.
    """

    pixels: Picture
    caption: str
    group: str
    view: str
    background: str
    azimuth: float
    weight: float = 1.0
    word: str = ""
    tags: tuple[str, ...] = ()


class Pool:
    """The pictures of one character by part, in order."""

    def __init__(self, parts: dict[str, list[Item]]) -> None:
        self.parts = parts

    def part(self, name: str) -> list[Item]:
        """One part: turn/<framing>, face, mono, thief, common, white/<framing>, bound, second/<framing>."""
        return self.parts[name]


def plan(seed: int, *, claims: bool) -> list[Planned]:
    """What to draw of the character with this `seed`; `claims` adds the parts of the claim arms."""
    planned = [*_turn(seed), *_faces(seed), *_mono(seed), *_common(seed)]
    if claims:
        planned += [*_thief(seed), *_bound(seed)]
        short = {f"turn/{framing}": (4, TURN - 2) for framing in FRAMINGS}  # those of rich16, and the own held-out ones
        counted: dict[str, int] = {}
        for one in [p for p in planned if p.part in short]:
            counted[one.part] = number = counted.get(one.part, -1) + 1
            first, last = short[one.part]
            if number < first or number >= last:
                name = one.part.split("/")[1]
                white = replace(one.shot, background="white", backdrop="")
                planned.append(replace(one, part=f"white/{name}", shot=white, group=f"white-{one.group}"))
                planned.append(replace(one, part=f"second/{name}", group=f"second-{one.group}", form=1))
    return planned


def load(subject: Subject, seed: int, folder: Path, *, claims: bool) -> Pool:
    """The pool of a character from `folder`, drawn first where it is not there."""
    what = plan(seed, claims=claims)
    digest = record.digest([VERSION, SIZE, subject.name, [asdict(one) for one in what]])
    target = folder / f"{subject.name}-{digest[:12]}"
    if not (target / "items.json").is_file():
        _write(target, [_drawn(one, subject) for one in what])
    return _read(target)


def others(folder: Path) -> Pool:
    """Pictures of other characters: related, prior and style, with captions that name their looks."""
    target = folder / f"others-{VERSION}-{OTHERS_SEED}"
    if not (target / "items.json").is_file():
        _write(target, _others())
    return _read(target)


# planning ------------------------------------------------------------------------------------------------------------


def _shot(key: list[int], framing: str, azimuth: float, **changes: object) -> Shot:
    """A random shaded shot at an azimuth on a background of one colour, with fixed `changes`; shoes for details."""
    rng = np.random.default_rng([*key, 920])
    shot = replace(
        render.sample_shot(int(rng.integers(2**31)), 0),
        framing=framing,
        azimuth=float((azimuth + 180.0) % 360.0 - 180.0),
        elevation=float(np.clip(rng.normal(7, 6), -8, 25)),
        background=str(rng.choice(BACKGROUNDS)),
        backdrop=str(rng.choice(list(BACKDROPS))),
        expression=str(rng.choice(EXPRESSIONS)),
        focus="shoes",
        roll=float(rng.normal(0, 1.5)),
        style="shaded",
    )
    if framing in ("headshot", "half_body"):
        shot = replace(shot, zoom=float(rng.uniform(*ZOOM[framing])))  # nobody takes the one for the other
    if framing == "full_body":
        shot = replace(shot, zoom=float(rng.uniform(0, 0.35)))  # not lost in the picture
    if framing == "detail":
        shot = replace(shot, zoom=float(rng.uniform(0, 0.3)), shift_y=float(rng.uniform(0.4, 1)))
    return replace(shot, **changes)  # type: ignore[arg-type]


def _turn(seed: int) -> list[Planned]:
    found = []
    for number, framing in enumerate(FRAMINGS):
        start = float(np.random.default_rng([seed, 1, number]).uniform(0, 360))
        for i in range(TURN):
            key = (seed, 1, number, i)
            shot = _shot(list(key), framing, start + i * GOLDEN)
            found.append(Planned(f"turn/{framing}", shot, f"turn-{framing}-{i}", key))
    return found


def _faces(seed: int) -> list[Planned]:
    """Headshots and half bodies in turn, azimuths spread over -70..70 degrees."""
    found = []
    for i in range(FACE):
        key = (seed, 2, i)
        azimuth = -70 + 140 * ((0.5 + (i // 2) * 0.6180339887) % 1)
        shot = _shot(list(key), ("headshot", "half_body")[i % 2], azimuth)
        found.append(Planned("face", shot, f"face-{i}", key))
    return found


def _mono(seed: int) -> list[Planned]:
    """Moments of one scene: front headshots, one pose, one background, one light."""
    scene = _shot([seed, 3], "headshot", 0.0, expression="neutral", mouth=0.0)
    found = []
    for moment in range(MOMENTS):
        rng = np.random.default_rng([seed, 3, moment])
        first = replace(
            scene,
            azimuth=float(rng.uniform(-10, 10)),
            elevation=scene.elevation + float(rng.normal(0, 1.5)),
            phase=float(rng.random()),
            zoom=float(np.clip(scene.zoom + rng.normal(0, 0.06), 0, 1)),
        )
        for _ in range(FRAMES if moment < TRAINED_MOMENTS else 1):
            frame = replace(
                first,
                azimuth=first.azimuth + float(rng.normal(0, 0.8)),
                elevation=first.elevation + float(rng.normal(0, 0.4)),
                phase=float((first.phase + rng.uniform(0, 0.05)) % 1),
                zoom=float(np.clip(first.zoom + rng.normal(0, 0.01), 0, 1)),
            )
            found.append(Planned("mono", frame, f"mono-{moment}"))
    return found


def _common(seed: int) -> list[Planned]:
    found = []
    for number, (framing, azimuths) in enumerate(COMMON):
        for i, azimuth in enumerate(azimuths):
            key = (seed, 4, number, i)
            found.append(Planned("common", _shot(list(key), framing, azimuth), f"common-{framing}-{i}", key))
    return found


def _thief(seed: int) -> list[Planned]:
    """Front headshots that differ in light, background and expression: over-represented, not copies."""
    found = []
    for i in range(THIEF):
        key = (seed, 5, i)
        azimuth = float(np.random.default_rng([*key, 1]).uniform(-28, 28))
        found.append(Planned("thief", _shot(list(key), "headshot", azimuth), f"thief-{i}", key))
    return found


def _bound(seed: int) -> list[Planned]:
    """Front headshots on one flat background."""
    rng = np.random.default_rng([seed, 6])
    scene, backdrop = int(rng.integers(2**31)), str(rng.choice(list(BACKDROPS)))
    found = []
    for i in range(12):
        key = (seed, 6, i)
        azimuth = float(np.random.default_rng([*key, 1]).uniform(-28, 28))
        shot = _shot(list(key), "headshot", azimuth, background="flat", backdrop=backdrop, scene_seed=scene)
        found.append(Planned("bound", shot, f"bound-{i}", key))
    return found


# drawing -------------------------------------------------------------------------------------------------------------


@cache
def renderer() -> Renderer:
    """One for the process: opening a window costs more than many pictures."""
    os.environ.setdefault("LP_NUM_THREADS", "1")
    return Renderer(SIZE)


def _drawn(one: Planned, subject: Subject) -> tuple[str, Item]:
    who: Subject = Toon(second_form(subject.person)) if one.form and isinstance(subject, Toon) else subject
    shot = who.moving(renderer(), one.shot, one.key) if one.key else who.still(one.shot)
    caption = ", ".join(who.caption(shot))
    view = f"{shot.framing}/{shot.side}"
    return one.part, Item(who.draw(renderer(), shot), caption, one.group, view, shot.background, shot.azimuth)


def _others() -> list[tuple[str, Item]]:
    """Each of a different character, but for the style's, which have four pictures each in outlines; no caption says
    so: a word for it would bind it.
    """
    wanted = [("related", i, 0) for i in range(RELATED)] + [("prior", RELATED + i, 0) for i in range(PRIOR)]
    wanted += [("style", RELATED + PRIOR + i, shot) for i in range(STYLES) for shot in range(STYLE_SHOTS)]
    found = []
    for part, number, turn in wanted:
        person = sample_character(OTHERS_SEED * render.SEED_STRIDE + number)
        key = [OTHERS_SEED, number, turn]
        framing = FRAMINGS[(number + turn) % len(FRAMINGS)]
        shot = _shot(key, framing, (number * STYLE_SHOTS + turn) * GOLDEN)
        shot = Toon(person).moving(renderer(), shot, key)
        if part == "style":
            shot = replace(shot, style="outline")
        row = {name: value for name, value in render.label_row(person, shot, "").items() if name != "style"}
        said = prompts.caption(row, np.random.default_rng([*key, 930]))
        item = Item(
            render.draw_picture(renderer(), person, shot),
            said,
            f"{part}-{number}-{turn}",
            f"{shot.framing}/{shot.side}",
            shot.background,
            shot.azimuth,
        )
        found.append((part, item))
    return found


def _write(target: Path, drawn: list[tuple[str, Item]]) -> None:
    target.mkdir(parents=True, exist_ok=True)
    with atomic(target / "images.npy") as temporary, temporary.open("wb") as file:
        np.save(file, np.stack([item.pixels for _, item in drawn]))
    rows = [{"part": part, **{name: getattr(item, name) for name in KEPT}} for part, item in drawn]
    write_text(target / "items.json", json.dumps(rows))  # last: where it is, all is


def _read(target: Path) -> Pool:
    pixels = np.load(target / "images.npy")
    rows: list[dict[str, Any]] = json.loads((target / "items.json").read_text(encoding="utf-8"))
    parts: dict[str, list[Item]] = {}
    for picture, row in zip(pixels, rows, strict=True):
        parts.setdefault(row.pop("part"), []).append(Item(pixels=picture, **row))
    return Pool(parts)
