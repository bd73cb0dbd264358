"""Security codes and the coded fields of the listing record."""

from __future__ import annotations

import math

import pytest

from pipeline.market import codes

SECTORS_33 = [50, 1050, 2050, 3050, 3100, 3650, 3700, 5250, 7050, 8050, 9050]


@pytest.mark.parametrize("code", ["72030", "25935", "130A0", "1A2B0"])
def test_a_code_has_five_digits_or_capital_letters(code):
    """Codes with letters, listed since 2024, are as good as those of digits."""
    assert codes.checked_code(code) == code


@pytest.mark.parametrize("code", ["", "7203", "720300", "130a0", "7203 ", "７２０３０", "7203\n"])
def test_another_form_is_refused_with_the_code_and_the_expected_form(code):
    """Nothing is completed or cleaned up: the fifth character carries meaning."""
    with pytest.raises(codes.BadCode, match="expected 5 digits or capital letters") as caught:
        codes.checked_code(code)
    assert repr(code) in str(caught.value)


@pytest.mark.parametrize(
    ("code", "ordinary"), [("72030", True), ("130A0", True), ("25935", False), ("94346", False)]
)
def test_ordinary_shares_end_in_0(code, ordinary):
    """Preferred shares carry another fifth character."""
    assert codes.is_ordinary_share(code) is ordinary


@pytest.mark.parametrize(
    ("before", "after", "tier"),
    [(("0101",), "0111", 1), (("0102", "0106"), "0112", 2), (("0104", "0107"), "0113", 3)],
)
def test_old_and_new_market_segments_share_a_tier(before, after, tier):
    """The reorganisation of 2022-04-04 does not break the series."""
    assert {codes.market_tier(mkt) for mkt in (*before, after)} == {tier}


@pytest.mark.parametrize("mkt", ["0105", "0109", "", "0110", "111"])
def test_other_market_segments_have_no_tier(mkt):
    """PRO market, ETF and REIT segment, and what is not a segment at all."""
    assert math.isnan(codes.market_tier(mkt))


def test_sectors_are_their_numbers_and_others_is_none():
    """Leading zeros go; 99 and 9999 mean that there is no sector."""
    assert [codes.sector33(f"{number:04d}") for number in SECTORS_33] == SECTORS_33
    assert [codes.sector17(str(number)) for number in range(1, 18)] == list(range(1, 18))
    assert all(math.isnan(codes.sector33(text)) for text in ("9999", "", "-"))
    assert all(math.isnan(codes.sector17(text)) for text in ("99", "", "-"))


def test_size_buckets_are_ordered_from_none_to_core30():
    """A name that is no bucket counts as none."""
    names = ["-", "TOPIX Small 2", "TOPIX Small 1", "TOPIX Mid400", "TOPIX Large70", "TOPIX Core30"]
    assert [codes.scale_bucket(name) for name in names] == [0, 1, 2, 3, 4, 5]
    assert codes.scale_bucket("") == codes.scale_bucket("TOPIX Small1") == 0


def test_margin_classes_are_their_numbers():
    """An empty field is none."""
    assert [codes.margin_class(text) for text in ("1", "2", "3")] == [1, 2, 3]
    assert math.isnan(codes.margin_class(""))
