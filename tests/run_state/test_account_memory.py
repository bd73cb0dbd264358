"""What is remembered of an account: its plan, and nothing of its key."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from pipeline.run_state.account_memory import AccountBook, Known

VENDOR = "https://api.jquants.com/v2"
FOUND = Known("light", dt.datetime(2024, 6, 14, 8, tzinfo=dt.UTC))


def test_a_plan_is_known_for_its_address_and_key(tmp_path: Path) -> None:
    """Another key may be of another account; who only looks has none."""
    book = AccountBook(tmp_path)
    assert book.known(VENDOR, "key-one") is None
    book.remember(VENDOR, "key-one", FOUND)
    assert AccountBook(tmp_path).known(VENDOR, "key-one") == FOUND
    assert AccountBook(tmp_path).known(VENDOR, "") == FOUND
    assert AccountBook(tmp_path).known(VENDOR, "key-two") is None
    assert AccountBook(tmp_path).known("http://127.0.0.1:8000/v2", "key-one") is None


def test_the_newest_plan_of_an_address_counts(tmp_path: Path) -> None:
    """Addresses of before are forgotten in the end: a simulator has another port each time."""
    book = AccountBook(tmp_path)
    book.remember(VENDOR, "key", FOUND)
    later = Known("premium", FOUND.found_at + dt.timedelta(days=9))
    book.remember(VENDOR, "key", later)
    assert book.known(VENDOR, "key") == later
    for port in range(8):
        book.remember(f"http://127.0.0.1:{port}/v2", "key", FOUND)
    assert book.known(VENDOR, "key") is None


def test_the_key_is_not_in_the_file(tmp_path: Path) -> None:
    """Four digits of a salted digest: another root has others for the same key."""
    key = "secret-key-0123456789"
    texts = []
    for name in "abcdefgh":
        book = AccountBook(tmp_path / name)
        book.remember(VENDOR, key, FOUND)
        texts.append(book.path.read_text())
    assert not [text for text in texts if key in text]
    assert len(set(texts)) == len(texts)


def test_a_damaged_file_means_that_nothing_is_known(tmp_path: Path) -> None:
    book = AccountBook(tmp_path)
    book.remember(VENDOR, "key", FOUND)
    book.path.write_bytes(book.path.read_bytes()[:-20])
    assert book.known(VENDOR, "key") is None
    book.remember(VENDOR, "key", FOUND)
    assert book.known(VENDOR, "key") == FOUND
