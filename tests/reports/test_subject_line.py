"""The report says how to look for other subjects where nobody has, and not where it does not matter."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from diversity.config import Config
from diversity.dataset import Dataset
from reports import dataset_report


@pytest.mark.parametrize(("preset", "lines"), [("character", 1), ("style", 0)])
def test_a_set_whose_subject_was_not_checked_says_how(
    preset: str, lines: int, make_workspace: Callable[[], Dataset]
) -> None:
    dataset = make_workspace()
    dataset.config = Config.load(None, preset=preset)
    source = dataset_report.write(dataset).read_text(encoding="utf-8")
    assert source.count("<code>diversity subject ") == lines
