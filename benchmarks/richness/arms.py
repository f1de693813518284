"""The arms of the ladder: which pictures make a set, what it is compared with, and in which order all are run.

Not for training: that is `run.py`. PROTOCOL.md says what each arm is for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import gcd

import cv2
import numpy as np

from benchmarks.richness.pool import FRAMES, TRAINED_MOMENTS, Item, Pool
from benchmarks.toonworld.camera import FRAMINGS
from diversity.sharpness import edge_spread
from training import keyed

STEPS, BATCH = 400, 4
LONG_STEPS, LONG_BATCH = 2000, 7
MATCHED = 25  # exposures per distinct picture
EVERY = 25  # steps between checkpoints
OWN = 8  # held-out pictures drawn like the training set
SECOND_WORD = "quilmar"
STYLE_WORD = "inkwerk"
BOUND_TAG = "looking at viewer"
BLUR = 1.4  # sigma in pixels


@dataclass(frozen=True)
class Material:
    """What one LoRA is made of.

    Attributes:
        train: Pictures with weights.
        own: Held-out pictures drawn like them.
        related: Pictures of others beside them, half of all exposures; mostly none.
    """

    train: list[Item]
    own: list[Item]
    related: list[Item]


@dataclass(frozen=True)
class Arm:
    """One way to make a set.

    Attributes:
        name: Of the row.
        composition: How its pictures are spread: monotone, portrait, turntable, ...
        make: Pool of the character, pool of the others → material.
        readings: Steps at which pictures are drawn; the last is the end.
        batch: Pictures per step.
        extra_weights: Further LoRA weights at which pictures are drawn.
    """

    name: str
    composition: str
    make: Callable[[Pool, Pool], Material]
    readings: tuple[int, ...] = (STEPS,)
    batch: int = BATCH
    extra_weights: tuple[float, ...] = ()

    @property
    def steps(self) -> int:
        """Of the whole run."""
        return self.readings[-1]

    def matched(self, distinct: int) -> int:
        """The checkpoint at which each distinct picture has been shown `MATCHED` times, or the end."""
        wanted = MATCHED * distinct / self.batch
        return min(self.steps, max(EVERY, EVERY * round(wanted / EVERY)))

    def checkpoints(self, distinct: int) -> tuple[int, ...]:
        """Steps at which losses are measured: matched exposures, an early one, the end and all readings."""
        wanted = {self.matched(distinct), STEPS // 4, *self.readings}
        if len(wanted) < 3:
            wanted.add(STEPS // 2)
        return tuple(sorted(wanted))


@dataclass(frozen=True)
class Job:
    """One LoRA to train.

    Attributes:
        id: "<arm>-<character>".
        block: identity, core, claims, long or style.
        arm: Name of its arm.
        character: Name.
    """

    id: str
    block: str
    arm: str
    character: str


# sets ----------------------------------------------------------------------------------------------------------------


def _turntable(pool: Pool, each: int, framings: Sequence[str] = FRAMINGS, form: str = "turn") -> list[Item]:
    return [item for framing in framings for item in pool.part(f"{form}/{framing}")[:each]]


def _turntable_own(pool: Pool, framings: Sequence[str] = FRAMINGS, form: str = "turn", each: int = 2) -> list[Item]:
    """The last of each framing, which no set trains on."""
    return [item for framing in framings for item in pool.part(f"{form}/{framing}")[-2:][:each]]


def _rich(each: int) -> Callable[[Pool, Pool], Material]:
    return lambda pool, _: Material(_turntable(pool, each), _turntable_own(pool), [])


def _mono(frames: int) -> Callable[[Pool, Pool], Material]:
    def make(pool: Pool, _: Pool) -> Material:
        every = pool.part("mono")
        moments = [every[i * FRAMES : i * FRAMES + frames] for i in range(TRAINED_MOMENTS)]
        return Material([item for moment in moments for item in moment], every[TRAINED_MOMENTS * FRAMES :], [])

    return make


def _portrait(pool: Pool, _: Pool) -> Material:
    return Material(pool.part("face")[:16], pool.part("face")[-OWN:], [])


def _related(pool: Pool, others: Pool) -> Material:
    return replace(_mono(4)(pool, others), related=others.part("related"))


def _thief(pool: Pool, _: Pool) -> Material:
    thief = pool.part("thief")
    return Material([*_turntable(pool, 4), *thief[:48]], [*_turntable_own(pool)[::4], *thief[-6:]], [])


def _cutout(pool: Pool, _: Pool) -> Material:
    return Material(_turntable(pool, 4, form="white"), _turntable_own(pool, form="white"), [])


def _lone(weight: float) -> Callable[[Pool, Pool], Material]:
    def make(pool: Pool, _: Pool) -> Material:
        bodies = [*pool.part("turn/headshot")[:8], *pool.part("turn/half_body")[:7]]
        shoes = replace(pool.part("turn/detail")[0], weight=weight)
        own = [item for name in ("headshot", "half_body") for item in pool.part(f"turn/{name}")[-4:]]
        return Material([*bodies, shoes], own, [])

    return make


def _rare(pool: Pool, _: Pool) -> Material:
    bodies = [item for name in ("headshot", "half_body") for item in pool.part(f"turn/{name}")[:31]]
    own = [item for name in ("headshot", "half_body") for item in pool.part(f"turn/{name}")[-4:]]
    return Material([*bodies, *pool.part("turn/detail")[:2]], own, [])


def _bound(pool: Pool, _: Pool) -> Material:
    bound = [replace(item, tags=(BOUND_TAG,)) for item in pool.part("bound")]
    return Material([*_turntable(pool, 2), *bound[:8]], [*_turntable_own(pool)[::2], *bound[8:]], [])


def _two(pool: Pool, _: Pool) -> Material:
    second = [replace(item, word=SECOND_WORD) for item in _turntable(pool, 4, form="second")]
    held = [replace(item, word=SECOND_WORD) for item in _turntable_own(pool, form="second", each=1)]
    return Material([*_turntable(pool, 4), *second], [*_turntable_own(pool, each=1), *held], [])


def _degraded(pool: Pool) -> list[Item]:
    """48 turntable pictures in random order, every third on average blurred."""
    items = _turntable(pool, 12)
    rng = keyed.generator("degraded", *(item.group for item in items))
    order, blurred = rng.permutation(len(items)), set(rng.permutation(len(items))[: len(items) // 3].tolist())
    return [
        replace(items[i], pixels=cv2.GaussianBlur(items[i].pixels, (0, 0), BLUR)) if i in blurred else items[i]
        for i in order.tolist()
    ]


def _sharp(pool: Pool, _: Pool) -> Material:
    items = _degraded(pool)
    spreads = [edge_spread(item.pixels, cv2.cvtColor(item.pixels, cv2.COLOR_RGB2GRAY)) for item in items]
    order = np.argsort([np.inf if spread is None else spread for spread in spreads], kind="stable")
    chosen = np.sort(order[:16])
    return Material([items[i] for i in chosen.tolist()], _turntable_own(pool), [])


def _nth(pool: Pool, _: Pool) -> Material:
    return Material(_degraded(pool)[::3], _turntable_own(pool), [])


def _shuffled(pool: Pool, _: Pool) -> Material:
    items = _turntable(pool, 4)
    order = keyed.generator("shuffled", *(item.group for item in items)).permutation(len(items))
    train = [replace(item, caption=items[i].caption) for item, i in zip(items, order.tolist(), strict=True)]
    return Material(train, _turntable_own(pool), [])


def _style(_: Pool, others: Pool) -> Material:
    items = [replace(item, word=STYLE_WORD) for item in others.part("style")]
    return Material(items[:-OWN], items[-OWN:], [])


CORE = (
    Arm("mono16", "monotone", _mono(4), readings=(STEPS // 4, STEPS)),
    Arm("rich16", "turntable", _rich(4), readings=(STEPS // 4, STEPS)),
    Arm("portrait16", "portrait", _portrait),
    Arm("rich64", "turntable", _rich(16)),
    Arm("mono64", "monotone", _mono(16)),
)
CLAIMS = (
    Arm("related16", "monotone", _related),
    Arm("thief64", "thief", _thief),
    Arm("rare64", "rare", _rare),
    Arm("two32", "turntable", _two),
    Arm("bound16", "bound", _bound, extra_weights=(0.5,)),
    Arm("cutout16", "turntable", _cutout, readings=(STEPS // 4, STEPS)),
    Arm("dedup4", "monotone", _mono(1)),
    Arm("lone16", "lone", _lone(1.0)),
    Arm("loneup16", "lone", _lone(8.0)),
    Arm("sharp16", "turntable", _sharp),
    Arm("nth16", "turntable", _nth),
    Arm("shuffled16", "turntable", _shuffled),
    Arm("lonecap16", "lone", _lone(2.0)),
)
OTHER_PROMPTS = ("two32", "bound16")  # asked for more than the others
WAITING = ("rare64", "lonecap16")  # made last: what they are for is told by shoes, and no judge tells those
LONG = tuple(
    Arm(f"{name}long", composition, make, readings=(1500, LONG_STEPS), batch=LONG_BATCH)
    for name, composition, make in (("mono16", "monotone", _mono(4)), ("rich16", "turntable", _rich(4)))
)
IDENTITY = Arm("identity", "turntable", _rich(4))
STYLE = Arm("style", "style", _style)
ARMS = {arm.name: arm for arm in (*CORE, *CLAIMS, *LONG, IDENTITY, STYLE)}
LONG_CHARACTERS = 5


# order ---------------------------------------------------------------------------------------------------------------


def crossed(block: str, arms: Sequence[Arm], characters: Sequence[str]) -> list[Job]:
    """Every arm with every character once; any first part has both equally often, to one.

    By the Chinese remainder theorem, which needs counts without a common divisor.

    Raises:
        ValueError: the counts have one.
    """
    if gcd(len(arms), len(characters)) != 1:
        raise ValueError(f"{len(arms)} arms and {len(characters)} characters")
    pairs = [(arms[i % len(arms)], characters[i % len(characters)]) for i in range(len(arms) * len(characters))]
    return [Job(f"{arm.name}-{character}", block, arm.name, character) for arm, character in pairs]


def jobs(toons: Sequence[str], models: Sequence[str]) -> list[Job]:
    """All LoRAs in the order in which they are run; without the artist's models, none of them.

    Raises:
        ValueError: see `crossed`.
    """
    return [
        Job(f"identity-{toons[0]}", "identity", "identity", toons[0]),
        *crossed("core", CORE, [*toons, *models]),
        *sorted(crossed("claims", CLAIMS, toons), key=lambda job: job.arm in WAITING),
        *crossed("long", LONG, toons[:LONG_CHARACTERS]),
        Job("style-others", "style", "style", toons[0]),
        *(Job(f"stack-{name}", "style", "stack", name) for name in toons),
    ]
