"""Make the embedded sample set: ``python -m benchmarks.toonworld.sample_set --out diversity/assets/sample_set``.

About 150 pictures of one character that tell the field notes' story: many near-identical faces, few backs, three
shoes, a view that is missing, re-saved copies, and four broken or odd files. The character is hand-made, so no
encoder has trained on her.
"""

from __future__ import annotations

import argparse
import csv
import io
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont

from benchmarks.toonworld.camera import Shot, place_camera
from benchmarks.toonworld.captions import full_caption
from benchmarks.toonworld.character import Body, Character, sample_character
from benchmarks.toonworld.parts import build_character
from benchmarks.toonworld.poses import build_skeleton, sample_pose
from benchmarks.toonworld.render import label_row
from benchmarks.toonworld.scene import Picture, Renderer, composite, draw_background, sample_lights

NAME, SEED, SIZE, QUALITY = "mira", 2023, 320, 80
COLUMNS = ("file", "framing", "side", "azimuth", "elevation", "pose", "background", "dup_group", "kind")
CAPTIONED = 0.67
COPY_KINDS = ("smaller", "jpeg", "brightness", "crop")
STILL_POSES = ("standing", "waving", "hands_on_hips", "pointing", "arms_up")
ACTIVE_POSES = (*STILL_POSES, "running", "sitting", "jumping", "casting")
EXPRESSIONS = ("smile", "neutral", "open_mouth", "sad", "angry", "surprised")
BACKGROUNDS = ("outdoors", "indoors", "gradient", "flat", "horizon")

BODY = Body(
    head=(0.215, 0.225, 0.21),
    head_boxy=(0.9, 0.95),
    neck=0.03,
    torso=0.4,
    shoulder=0.155,
    waist=0.12,
    hip=0.14,
    depth=0.72,
    arm=0.4,
    arm_radius=0.048,
    hand=0.062,
    leg=0.47,
    leg_radius=0.062,
    foot=0.092,
)


# Per framing: (least |azimuth|, most |azimuth|, number of separate pictures).
COUNTS: dict[str, tuple[tuple[float, float, int], ...]] = {
    "headshot": ((0, 28, 22), (33, 67, 20), (75, 110, 4), (120, 145, 1), (160, 178, 1)),
    "half_body": ((0, 28, 9), (33, 67, 8), (75, 110, 3), (120, 145, 2), (160, 178, 2)),
    "full_body": ((0, 28, 5), (33, 67, 6), (120, 145, 2), (160, 178, 3)),
}


@dataclass(frozen=True)
class Entry:
    """One file to make: the shot, its duplicate group and what is done to the picture."""

    shot: Shot
    group: str
    kind: str = "original"


def heroine() -> Character:
    """The sample set's character: red bob, teal coat, yellow scarf and gloves, brown boots."""
    return replace(
        sample_character(SEED),
        seed=7,
        name=NAME,
        kind="anime",
        body=BODY,
        detail=1.5,
        flat=False,
        skin=(246, 212, 186),
        eye_style="anime",
        eye_colour=(70, 130, 70),
        nose="small",
        beard="none",
        glasses=False,
        hair_style="bob",
        hair_colour="red",
        headgear="none",
        outfit="coat",
        outfit_colour="teal",
        second_colour="white",
        accent_colour="yellow",
        shoes="boots",
        shoes_colour="brown",
        cape=False,
        backpack=False,
        scarf=True,
        belt=True,
        emblem=False,
        gloves=True,
        prop="none",
    )


def make_shot(rng: np.random.Generator, framing: str, azimuth: float, **changes: object) -> Shot:
    """A random shot of a framing at an azimuth, with fixed ``changes``."""
    poses = STILL_POSES if framing in ("headshot", "half_body") else ACTIVE_POSES
    shot = Shot(
        framing=framing,
        azimuth=float(azimuth),
        elevation=float(np.clip(rng.normal(7, 5), -5, 22)),
        pose=str(rng.choice(poses)),
        phase=float(rng.random()),
        pose_seed=int(rng.integers(2**31)),
        expression=str(rng.choice(EXPRESSIONS, p=(0.45, 0.25, 0.1, 0.08, 0.06, 0.06))),
        mouth=float(rng.random()),
        background=str(rng.choice(BACKGROUNDS)),
        scene_seed=int(rng.integers(2**31)),
        zoom=float(rng.uniform(0.0, 0.35) if framing == "full_body" else rng.uniform(0.2, 0.9)),
        shift_x=float(rng.uniform(0.2, 0.8)),
        shift_y=float(rng.uniform(0.25, 0.75)),
        roll=float(rng.normal(0, 1.2)),
    )
    return replace(shot, **changes)  # type: ignore[arg-type]


def burst(first: Shot, group: str, count: int, turn: float) -> list[Entry]:
    """``count`` consecutive frames of one moment; ``turn`` degrees of azimuth and 0.06 of the movement per frame."""
    frames = [
        replace(first, azimuth=first.azimuth + i * turn, phase=(first.phase + 0.06 * i) % 1, mouth=abs(np.sin(1.1 * i)))
        for i in range(count)
    ]
    return [Entry(shot, group, "frame") for shot in frames]


def singles(
    rng: np.random.Generator, framing: str, low: float, high: float, count: int, **changes: object
) -> list[Entry]:
    """``count`` separate pictures with |azimuth| between ``low`` and ``high`` degrees, both sides mixed."""
    angles = rng.uniform(low, high, count) * rng.choice((-1, 1), count)
    return [Entry(make_shot(rng, framing, a, **changes), f"{framing}-{low:.0f}-{i}") for i, a in enumerate(angles)]


def bursts(rng: np.random.Generator) -> list[list[Entry]]:
    """Two talking faces and two walks, each one block."""
    talk = {"expression": "open_mouth", "pose": "standing"}
    walk = {"expression": "smile", "pose": "walking"}
    return [
        burst(make_shot(rng, "headshot", 4, background="indoors", **talk), "talk-a", 16, 0.2),
        burst(make_shot(rng, "headshot", -42, background="outdoors", **talk), "talk-b", 12, -0.2),
        burst(make_shot(rng, "headshot", 12, background="gradient", **walk), "walk-face", 8, 0.3),
        burst(make_shot(rng, "full_body", 18, background="outdoors", **walk), "walk-full", 10, 0.3),
    ]


def plan(seed: int) -> list[list[Entry]]:
    """Blocks of entries (a burst is one block), before copies; full body from the side is missing on purpose."""
    rng = np.random.default_rng([seed, 1])
    blocks = bursts(rng)
    for framing, cells in COUNTS.items():
        for low, high, count in cells:
            blocks += [[entry] for entry in singles(rng, framing, low, high, count)]
    for azimuth in (15, -50, 165):
        shot = make_shot(rng, "detail", azimuth, pose="standing", zoom=0.35, shift_x=0.5)
        blocks.append([Entry(shot, f"shoes-{azimuth}")])
    cutout = make_shot(rng, "full_body", 22, background="white", pose="hands_on_hips", expression="smile")
    blocks.append([Entry(cutout, "cutout", "cutout")])
    blocks.append([Entry(make_shot(rng, "half_body", -20), "blur", "blur")])
    blocks.append([Entry(make_shot(rng, "headshot", 8, expression="open_mouth"), "subtitle", "subtitle")])
    blocks.append([Entry(make_shot(rng, "headshot", -14), "truncated", "truncated")])
    return with_copies(blocks, rng)


def with_copies(blocks: list[list[Entry]], rng: np.random.Generator) -> list[list[Entry]]:
    """The blocks shuffled, with re-saved copies of ten front pictures added as blocks of their own."""
    sources = [
        b[0]
        for b in blocks
        if len(b) == 1
        and b[0].kind == "original"
        and b[0].shot.framing in ("headshot", "half_body")
        and b[0].shot.side in ("front", "three_quarter")
    ]
    chosen = rng.choice(len(sources), 10, replace=False)
    copies = [[replace(sources[c], kind=COPY_KINDS[i % len(COPY_KINDS)])] for i, c in enumerate(chosen)]
    blocks = blocks + copies
    return [blocks[i] for i in rng.permutation(len(blocks))]


def render_entry(renderer: Renderer, person: Character, shot: Shot) -> tuple[Picture, Picture]:
    """The character alone (RGBA) and the finished picture (RGB), softly lit, on a softened background."""
    bones = build_skeleton(person.body, sample_pose(shot.pose, shot.phase, np.random.default_rng([shot.pose_seed, 5])))
    mesh = build_character(person, bones, shot.expression, shot.mouth).build()
    lights = replace(sample_lights(shot.scene_seed), ambient=0.4, key=0.62, fill=0.22, shine=0.05)
    rgba = renderer.draw(mesh, place_camera(shot, person, bones, mesh[0]), lights, person.flat)
    behind = draw_background(shot.background, shot.scene_seed, renderer.size).astype(float) * 0.75 + 0.25 * 245
    return rgba, composite(rgba, behind.astype(np.uint8))


def finish(entry: Entry, rgba: Picture, picture: Picture) -> tuple[bytes, str]:
    """The file's bytes and extension, after what the entry's kind does to the picture."""
    image, kind, quality = Image.fromarray(picture), entry.kind, QUALITY
    if kind == "cutout":
        return encode(Image.fromarray(rgba), "png"), "png"
    if kind == "smaller":
        image = image.resize((SIZE * 5 // 8,) * 2, Image.Resampling.LANCZOS)
    elif kind == "jpeg":
        quality = 28
    elif kind == "brightness":
        image = ImageEnhance.Brightness(image).enhance(1.2)
    elif kind == "crop":
        image = image.crop((SIZE // 24, SIZE // 30, SIZE - SIZE // 28, SIZE - SIZE // 22))
    elif kind == "blur":
        image = image.filter(ImageFilter.GaussianBlur(SIZE / 60))
    elif kind == "subtitle":
        draw_subtitle(image, "Wait for me at the harbour!")
    suffix = "webp" if entry.shot.scene_seed % 6 == 0 and kind == "original" else "jpg"
    data = encode(image, suffix, quality)
    return (data[: len(data) * 2 // 5] if kind == "truncated" else data), suffix


def draw_subtitle(image: Image.Image, text: str) -> None:
    """White text with a black edge at the foot of the picture, in place."""
    font = ImageFont.load_default(size=image.width / 16)
    ImageDraw.Draw(image).text(
        (image.width / 2, image.height * 0.92),
        text,
        font=font,
        fill="white",
        stroke_width=2,
        stroke_fill="black",
        anchor="mm",
    )


def encode(image: Image.Image, suffix: str, quality: int = QUALITY) -> bytes:
    """The picture as a file of one format."""
    buffer = io.BytesIO()
    name = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}[suffix]
    image.save(buffer, name, quality=quality, optimize=True)
    return buffer.getvalue()


def make(out: Path, seed: int = SEED) -> int:
    """Write the pictures, captions and labels.csv under ``out``; returns the number of files."""
    folder = out / f"10_{NAME}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    person, renderer, rng = heroine(), Renderer(SIZE), np.random.default_rng([seed, 2])
    rows = []
    for number, entry in enumerate((entry for block in plan(seed) for entry in block), start=1):
        data, suffix = finish(entry, *render_entry(renderer, person, entry.shot))
        path = folder / f"{number:03d}.{suffix}"
        path.write_bytes(data)
        label = label_row(person, entry.shot, entry.group)
        if rng.random() < CAPTIONED and entry.kind != "truncated":
            path.with_suffix(".txt").write_text(full_caption(label, rng) + "\n", encoding="utf-8")
        background = "transparent" if entry.kind == "cutout" else label["background"]
        values = {**label, "file": f"{folder.name}/{path.name}", "kind": entry.kind, "background": background}
        rows.append([f"{values[c]:.1f}" if isinstance(values[c], float) else values[c] for c in COLUMNS])
    renderer.close()
    with (out / "labels.csv").open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows)
    return len(rows)


def main(argv: list[str] | None = None) -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=SEED)
    args = parser.parse_args(argv)
    print(f"{make(args.out, args.seed)} pictures in {args.out}")


if __name__ == "__main__":
    main()
