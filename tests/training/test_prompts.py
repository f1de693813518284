"""Claims about keyword weights in prompts."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from diversity.errors import InputError
from training import prompts
from training.base import Base

LETTERS = st.text(st.sampled_from("ab ,:1.5_^"), max_size=12)


@pytest.mark.parametrize(
    ("prompt", "pieces"),
    [
        ("girl, (looking at viewer:0.7), hat", [("girl, ", 1.0), ("looking at viewer", 0.7), (", hat", 1.0)]),
        ("(a (b:2) c:0.5)", [("a ", 0.5), ("b", 1.0), (" c", 0.5)]),
        ("saber_(fate), :)", [("saber_(fate), :)", 1.0)]),
        ("(saber_(fate):0.8)", [("saber_(fate)", 0.8)]),
        (r"\(a:0.5\)", [("(a:0.5)", 1.0)]),
        ("((a:0.5)", [("(", 1.0), ("a", 0.5)]),
        ("(a: 0)", [("a", 0.0)]),
        ("(:0.3)", []),
        ("", []),
    ],
)
def test_only_brackets_with_a_number_are_weights(prompt: str, pieces: list[tuple[str, float]]) -> None:
    assert prompts.parse(prompt) == [(text, pytest.approx(weight)) for text, weight in pieces]


@given(LETTERS, LETTERS, LETTERS, st.floats(0, 5).map(lambda w: round(w, 2)))
def test_any_text_around_and_inside_a_weight_is_kept(before: str, inside: str, after: str, weight: float) -> None:
    prompt = f"{before}({inside}x:{weight}){after}"
    assert prompts.plain(prompt) == f"{before}{inside}x{after}"
    found = prompts.parse(prompt)
    assert sum(len(text) for text, w in found if w == weight) >= len(inside) + 1


@given(st.text(st.sampled_from("()ab: "), max_size=20))
def test_text_without_numbers_is_read_as_it_stands(text: str) -> None:
    assert prompts.parse(text) == ([(text, 1.0)] if text else [])


@given(st.text(st.sampled_from("ab ,:9()\\"), max_size=12), st.booleans())
def test_a_literal_text_is_read_as_it_stands_also_inside_a_weight(text: str, inside: bool) -> None:
    """Whatever brackets, backslashes and numbers it holds, as captions do that training reads letter by letter."""
    assert prompts.plain(prompts.literal(text)) == text
    if inside and text.strip():
        assert prompts.parse(f"({prompts.literal(text)}:0.5)") == [(text, 0.5)]


def test_a_slip_of_the_point_is_told() -> None:
    with pytest.raises(InputError, match="weight 12"):
        prompts.parse("(hat:12)")


@pytest.mark.parametrize("kind", ["sd1", "sdxl"])
def test_weights_of_1_are_no_weights_and_others_grow_from_there(kind: str, request: pytest.FixtureRequest) -> None:
    base: Base = request.getfixturevalue(kind)
    with torch.no_grad():
        plain = base.encode_prompts(["a girl, looking at viewer"])
        same = prompts.encode(base, ["a girl, (looking at viewer:1.0)"])
        assert torch.equal(same.states, plain.states)
        away = [
            float((prompts.encode(base, [f"a girl, (looking at viewer:{w})"]).states - plain.states).norm())
            for w in (1.02, 1.5, 3, 0.98, 0.5, 0)
        ]
        zero = prompts.encode(base, ["a girl, (looking at viewer:0)", "a girl"])
    assert away[0] < away[1] < away[2]
    assert away[3] < away[4] < away[5]
    if kind == "sdxl":
        assert torch.equal(same.pooled, plain.pooled)
    begin = base.window  # markers and words before the keyword are what they were
    assert begin == zero.states.shape[1]
    torch.testing.assert_close(zero.states[0, :4], plain.states[0, :4], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", ["sd1", "sdxl"])
def test_long_weighted_prompts_have_the_windows_of_plain_ones(kind: str, request: pytest.FixtureRequest) -> None:
    base: Base = request.getfixturevalue(kind)
    words = " ".join(["red hat"] * 20)  # 40 tokens: two windows
    with torch.no_grad():
        plain = base.encode_prompts([f"girl, {words}", ""])
        weighted = prompts.encode(base, [f"(girl:0.5), {words}", ""])
        short = prompts.encode(base, ["(girl:0.5)"], windows=2)
    assert weighted.states.shape == plain.states.shape
    window = base.window
    torch.testing.assert_close(weighted.states[0, window:], plain.states[0, window:], rtol=1e-4, atol=1e-4)
    assert torch.equal(weighted.states[1], plain.states[1])
    assert not torch.allclose(weighted.states[0, :window], plain.states[0, :window])
    torch.testing.assert_close(short.states[0, window:], plain.states[1, window:])
    assert prompts.encode(base, [f"(girl:0.5), {words}"], windows=1).states.shape[1] == window
