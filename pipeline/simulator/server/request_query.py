"""Parameters of a request: parsed, checked against what the endpoint allows."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Final

from pipeline.simulator.server.refusal import RefusalError

if TYPE_CHECKING:
    from collections.abc import Mapping

PAGE = "pagination_key"
DATES: Final = frozenset(
    {
        "date",
        "from",
        "to",
        "disc_date",
        "disc_date_from",
        "disc_date_to",
        "calc_date",
        "published_date",
        "scheduled_date",
    }
)
_RANGES = (("from", "to"), ("disc_date_from", "disc_date_to"))
_CODE = re.compile(r"[0-9A-Z]{4,5}")
_DATE = re.compile(r"(\d{4})-?(\d{2})-?(\d{2})")
_MONTH = re.compile(r"(\d{4})-?(\d{2})")


@dataclass(frozen=True)
class Query:
    """A request's parameters; None where not given.

    Attributes:
        given: names and values as sent, sorted, without the paging key: the identity of the
            query to which a paging key belongs.
        dates: every date given, by the name of its parameter; ``day``, ``first`` and ``last``
            are those named ``date``, ``from`` and ``to``.
        texts: every other value given, by name.
    """

    given: tuple[tuple[str, str], ...] = ()
    code: str | None = None
    day: date | None = None
    first: date | None = None
    last: date | None = None
    hol_div: str | None = None
    page: str | None = None
    dates: Mapping[str, date] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)


def parse_query(
    raw: Mapping[str, str],
    params: tuple[str, ...],
    combinations: frozenset[frozenset[str]],
    one_of: tuple[str, ...],
) -> Query:
    """Check the parameters of a request.

    Args:
        raw: as sent; empty values and names the endpoint does not know are ignored.
        params: names the endpoint knows, without the paging key.
        combinations: sets of names that may be given together.
        one_of: at least one of these is needed; empty when everything is optional.

    Raises:
        RefusalError: 400 with the server's message.
    """
    given = {name: raw[name] for name in params if raw.get(name)}
    require_one_of(given, one_of)
    if frozenset(given) not in combinations:
        raise conflict(given)
    dates = {name: parse_date(name, text) for name, text in given.items() if name in DATES}
    for first, last in _RANGES:
        if first in dates and last in dates and dates[first] > dates[last]:
            raise RefusalError(400, f"The value of '{first}' must not be later than '{last}'.")
    return Query(
        given=tuple(sorted(given.items())),
        code=_code(given.get("code")),
        day=dates.get("date"),
        first=dates.get("from"),
        last=dates.get("to"),
        hol_div=given.get("hol_div"),
        page=raw.get(PAGE) or None,
        dates=dates,
        texts={name: text for name, text in given.items() if name not in DATES},
    )


def require_one_of(given: Mapping[str, str], names: tuple[str, ...]) -> None:
    """Refuse a request that has none of ``names``, unless there are no such names."""
    if names and not any(name in given for name in names):
        listed = ",".join(f"'{name}'" for name in names)
        raise RefusalError(400, f"This API requires at least 1 parameter as follows; {listed}.")


def conflict(given: Mapping[str, str]) -> RefusalError:
    """The answer to parameters that may not be given together."""
    names = ",".join(f"'{name}'" for name in sorted(given))
    return RefusalError(400, f"This combination of parameters is not supported; {names}.")


def parse_date(name: str, text: str) -> date:
    """A date in one of the two forms the API takes.

    Raises:
        RefusalError: 400, neither form, or a date that does not exist, such as 20240230.
    """
    match = _DATE.fullmatch(text)
    try:
        if match and text.count("-") in (0, 2):
            return datetime.strptime("".join(match.groups()), "%Y%m%d").date()  # noqa: DTZ007
    except ValueError:
        pass
    raise RefusalError(400, f"The value of '{name}' must be a date, YYYYMMDD or YYYY-MM-DD.")


def parse_period(name: str, text: str) -> tuple[date, date]:
    """First and last date of a day or month, as the bulk endpoints take them.

    Raises:
        RefusalError: 400, none of YYYYMM, YYYY-MM and the two forms of a date.
    """
    match = _MONTH.fullmatch(text)
    if match is None:
        day = parse_date(name, text)
        return day, day
    year, month = map(int, match.groups())
    if not 1 <= month <= 12 or year < 1:
        raise RefusalError(400, f"The value of '{name}' must be a date or a month.")
    return date(year, month, 1), month_end(date(year, month, 1))


def month_end(day: date) -> date:
    """Last date of the month of ``day``."""
    return (day.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)


def _code(text: str | None) -> str | None:
    if text is not None and not _CODE.fullmatch(text):
        raise RefusalError(400, "The value of 'code' must be 4 or 5 characters.")
    return text
