"""Family fundamental: what the latest period of the statement book says, as of T."""

from __future__ import annotations

from collections.abc import Callable

from tests.reference.market import Feature, History, ReferenceMarket, of_line
from tests.reference.operators import Value, at_least, mean, minus_one, ratio, std
from tests.reference.statements import QUARTERS, Book, Period, fresh_book

STANDARDS = {"JP": 1, "IFRS": 2, "US": 3, "JMIS": 4, "Foreign": 5, "REIT": 6}


def over_positive(numerator: Value, denominator: Value) -> Value:
    """Quotient; null when an operand is null or the denominator is not above 0."""
    return None if denominator is None or denominator <= 0 else ratio(numerator, denominator)


def minus(a: Value, b: Value) -> Value:
    """Difference; null when an operand is null."""
    return None if a is None or b is None else a - b


def margin_ttm(book: Book, period: Period, profit: str) -> Value:
    """A profit over sales, both of twelve months."""
    return over_positive(book.ttm(period, profit), book.ttm(period, "Sales"))


def mean_of_year(book: Book, period: Period, field: str) -> Value:
    """Mean of a balance and the one a year earlier; the later one if there is no earlier one."""
    now, before = book.cum(period, field), book.cum(period.year_before, field)
    return now if now is None or before is None else mean([now, before])


def fs_op_margin_ttm(book: Book, period: Period) -> Value:
    return margin_ttm(book, period, "OP")


def fs_np_margin_ttm(book: Book, period: Period) -> Value:
    return margin_ttm(book, period, "NP")


def fs_roe_ttm(book: Book, period: Period) -> Value:
    return over_positive(book.ttm(period, "NP"), mean_of_year(book, period, "Eq"))


def fs_roa_ttm(book: Book, period: Period) -> Value:
    return over_positive(book.ttm(period, "NP"), mean_of_year(book, period, "TA"))


def fs_cfo_to_assets(book: Book, period: Period) -> Value:
    reported = book.latest_with("CFO")
    if reported is None:
        return None
    return ratio(book.ttm(reported, "CFO"), book.cum(reported, "TA"))


def fs_accruals(book: Book, period: Period) -> Value:
    reported = book.latest_with("CFO")
    if reported is None:
        return None
    accrued = minus(book.ttm(reported, "NP"), book.ttm(reported, "CFO"))
    return ratio(accrued, book.cum(reported, "TA"))


def fs_fcf_to_assets(book: Book, period: Period) -> Value:
    reported = book.latest_with("CFO", "CFI")
    if reported is None:
        return None
    operating, investing = book.ttm(reported, "CFO"), book.ttm(reported, "CFI")
    if operating is None or investing is None:
        return None
    return ratio(operating + investing, book.cum(reported, "TA"))


def fs_equity_ratio(book: Book, period: Period) -> Value:
    return over_positive(book.cum(period, "Eq"), book.cum(period, "TA"))


def fs_cash_ratio(book: Book, period: Period) -> Value:
    reported = book.latest_with("CashEq")
    if reported is None:
        return None
    return ratio(book.cum(reported, "CashEq"), book.cum(reported, "TA"))


def fs_asset_turnover(book: Book, period: Period) -> Value:
    now, before = book.cum(period, "TA"), book.cum(period.year_before, "TA")
    if now is None or before is None:
        return None
    return ratio(book.ttm(period, "Sales"), mean([now, before]))


def fs_sales_yoy_ttm(book: Book, period: Period) -> Value:
    before = book.ttm(period.year_before, "Sales")
    return minus_one(over_positive(book.ttm(period, "Sales"), before))


def fs_op_chg_to_assets(book: Book, period: Period) -> Value:
    change = minus(book.ttm(period, "OP"), book.ttm(period.year_before, "OP"))
    return ratio(change, book.cum(period, "TA"))


def fs_sales_q_yoy(book: Book, period: Period) -> Value:
    before = book.single(period.year_before, "Sales")
    return minus_one(over_positive(book.single(period, "Sales"), before))


def fs_op_q_chg_to_sales(book: Book, period: Period) -> Value:
    change = minus(book.single(period, "OP"), book.single(period.year_before, "OP"))
    return over_positive(change, book.single(period.year_before, "Sales"))


def fs_op_margin_chg_yoy(book: Book, period: Period) -> Value:
    return minus(margin_ttm(book, period, "OP"), margin_ttm(book, period.year_before, "OP"))


def fs_asset_growth_yoy(book: Book, period: Period) -> Value:
    return minus_one(over_positive(book.cum(period, "TA"), book.cum(period.year_before, "TA")))


def fs_sue_np(book: Book, period: Period) -> Value:
    surprises: list[Value] = []
    for _ in range(9):
        now, before = book.single(period, "NP"), book.single(period.year_before, "NP")
        surprises.append(minus(now, before))
        period = period.quarter_before
    earlier = at_least(6, surprises[1:])
    return None if earlier is None else ratio(surprises[0], std(earlier))


def fs_report_lag_days(book: Book, period: Period) -> Value:
    first = book.first(period)
    end = first.date("CurPerEn")
    return None if end is None else (first.day("DiscDate") - end).days


def fs_quarter(book: Book, period: Period) -> Value:
    return QUARTERS.index(period.quarter) + 1


def fs_accounting_std(book: Book, period: Period) -> Value:
    suffix = book.last(period).text("DocType").rpartition("_")[2]
    return STANDARDS.get(suffix)


def fs_is_consolidated(book: Book, period: Period) -> Value:
    kind = book.last(period).text("DocType")
    if "_Consolidated_" in kind:
        return 1
    return 0 if "_NonConsolidated_" in kind else None


def fs_days_since_disclosure(market: ReferenceMarket, s: History) -> Value:
    found = fresh_book(market, s.code, s.date)
    if found is None:
        return None
    book, period = found
    return market.column_of[s.date] - book.first(period).column


def of_book(formula: Callable[[Book, Period], Value]) -> Feature:
    """A feature of the statement book and its latest period; null when that is too old."""

    def value(market: ReferenceMarket, s: History) -> Value:
        found = fresh_book(market, s.code, s.date)
        return None if found is None else formula(*found)

    return of_line(value)


FEATURES: dict[str, Feature] = {
    "fs_op_margin_ttm": of_book(fs_op_margin_ttm),
    "fs_np_margin_ttm": of_book(fs_np_margin_ttm),
    "fs_roe_ttm": of_book(fs_roe_ttm),
    "fs_roa_ttm": of_book(fs_roa_ttm),
    "fs_cfo_to_assets": of_book(fs_cfo_to_assets),
    "fs_accruals": of_book(fs_accruals),
    "fs_fcf_to_assets": of_book(fs_fcf_to_assets),
    "fs_equity_ratio": of_book(fs_equity_ratio),
    "fs_cash_ratio": of_book(fs_cash_ratio),
    "fs_asset_turnover": of_book(fs_asset_turnover),
    "fs_sales_yoy_ttm": of_book(fs_sales_yoy_ttm),
    "fs_op_chg_to_assets": of_book(fs_op_chg_to_assets),
    "fs_sales_q_yoy": of_book(fs_sales_q_yoy),
    "fs_op_q_chg_to_sales": of_book(fs_op_q_chg_to_sales),
    "fs_op_margin_chg_yoy": of_book(fs_op_margin_chg_yoy),
    "fs_asset_growth_yoy": of_book(fs_asset_growth_yoy),
    "fs_sue_np": of_book(fs_sue_np),
    "fs_days_since_disclosure": of_line(fs_days_since_disclosure),
    "fs_report_lag_days": of_book(fs_report_lag_days),
    "fs_quarter": of_book(fs_quarter),
    "fs_accounting_std": of_book(fs_accounting_std),
    "fs_is_consolidated": of_book(fs_is_consolidated),
}
