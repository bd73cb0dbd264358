"""Parameters of a request: parsed, checked against what the endpoint allows."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

from pipeline.simulator.refusal import RefusalError

if TYPE_CHECKING:
    from collections.abc import Mapping

PAGE = "pagination_key"
_CODE = re.compile(r"[0-9A-Z]{4,5}")
_DATE = re.compile(r"(\d{4})-?(\d{2})-?(\d{2})")


@dataclass(frozen=True)
class Query:
    """A request's parameters; None where not given.

    Attributes:
        given: names and values as sent, sorted, without the paging key: the identity of the
            query to which a paging key belongs.
    """

    given: tuple[tuple[str, str], ...]
    code: str | None = None
    day: date | None = None
    first: date | None = None
    last: date | None = None
    hol_div: str | None = None
    page: str | None = None


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
    if one_of and not any(name in given for name in one_of):
        names = ",".join(f"'{name}'" for name in one_of)
        raise RefusalError(400, f"This API requires at least 1 parameter as follows; {names}.")
    if frozenset(given) not in combinations:
        names = ",".join(f"'{name}'" for name in sorted(given))
        raise RefusalError(400, f"This combination of parameters is not supported; {names}.")
    first, last = _date("from", given.get("from")), _date("to", given.get("to"))
    if first and last and first > last:
        raise RefusalError(400, "The value of 'from' must not be later than 'to'.")
    return Query(
        given=tuple(sorted(given.items())),
        code=_code(given.get("code")),
        day=_date("date", given.get("date")),
        first=first,
        last=last,
        hol_div=given.get("hol_div"),
        page=raw.get(PAGE) or None,
    )


def _code(text: str | None) -> str | None:
    if text is not None and not _CODE.fullmatch(text):
        raise RefusalError(400, "The value of 'code' must be 4 or 5 characters.")
    return text


def _date(name: str, text: str | None) -> date | None:
    if text is None:
        return None
    match = _DATE.fullmatch(text)
    try:
        if match and text.count("-") in (0, 2):
            return datetime.strptime("".join(match.groups()), "%Y%m%d").date()  # noqa: DTZ007
    except ValueError:
        pass  # a date that does not exist, such as 20240230
    raise RefusalError(400, f"The value of '{name}' must be a date, YYYYMMDD or YYYY-MM-DD.")
