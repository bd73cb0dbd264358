"""Security codes."""

from __future__ import annotations

import pytest

from pipeline.market.panel import codes


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
