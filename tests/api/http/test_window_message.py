"""What a refusal says about the days an account may read."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import orjson
import pytest

from pipeline.api.http.window_message import Window, says_closed, window_in

ANSWERS = orjson.loads((Path(__file__).parents[2] / "data" / "answers.json").read_bytes())
A, B = dt.date(2024, 3, 12), dt.date(2026, 3, 12)


def test_the_windows_of_messages_that_were_seen() -> None:
    """With an end and without; all other messages name none."""
    assert [window_in(answer["body"].get("message", "")) for answer in ANSWERS] == [
        Window(A, B),
        Window(dt.date(2021, 9, 4), None),
        *[None] * 5,
    ]


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ("covers the following dates: 2024-03-12 ~ 2026-03-12", Window(A, B)),
        ("Covers the following dates 2024/3/12～2026/3/12.", Window(A, B)),
        ("covers the following dates:  ~ 2026-03-12.", Window(None, B)),
        ("covers the following dates: 2024-03-12~", Window(A, None)),
        ("covers the following dates: ~", None),
        ("covers the following dates: 2024-02-30 ~ 2026-03-12", None),
        ("covers the following dates: 2026-03-12 ~ 2024-03-12", None),
        ("from 2024-03-12 ~ 2026-03-12", None),
    ],
)
def test_other_spellings(text: str, window: Window | None) -> None:
    """What makes no sense as a window is none."""
    assert window_in(text) == window


def test_a_window_holds_its_ends_and_cuts_ranges() -> None:
    """An open end holds everything on its side."""
    day = dt.timedelta(days=1)
    window = Window(A, B)
    assert [window.holds(d) for d in (A - day, A, B, B + day)] == [False, True, True, False]
    assert Window(A, None).holds(dt.date.max)
    assert Window(None, A).holds(dt.date.min)
    assert window.cut(None, A + day) == Window(A, A + day)
    assert window.cut(A - day, None) == window
    assert Window().cut(A, B) == window
    assert window.cut(B + day, B + day).is_empty
    assert not window.is_empty
    assert not Window(A, None).is_empty


def test_messages_about_closed_days() -> None:
    """The one that was seen, and no message about anything else."""
    said = [says_closed(answer["body"].get("message", "")) for answer in ANSWERS]
    assert said == [False, False, True, False, False, False, False]
