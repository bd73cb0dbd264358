"""Which columns a reader means: names, families and patterns against the columns there are.

Pure: texts in, names out. What is not found is told with the nearest names that are there.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

from pipeline.errors import UsageError
from pipeline.manifest import KEYS, LABEL_PREFIX

FAMILY = "family:"

_WILD = frozenset("*?[")
_NEAREST = 3  # right names shown for a wrong one
_SHOWN = 5  # wrong names shown


def texts(value: str | Iterable[str]) -> tuple[str, ...]:
    """One text or several, as several."""
    return (value,) if isinstance(value, str) else tuple(value)


def features_of(
    wanted: str | Iterable[str] | None,
    there: Sequence[str],
    families: Callable[[], Mapping[str, Sequence[str]]],
    labels: Iterable[str] = (),
) -> list[str]:
    """The feature columns that are meant, each once, in the order they are asked for.

    Args:
        wanted: names, ``family:NAME`` or patterns with ``*``, ``?`` and ``[...]``; None for all.
        there: columns of the dataset, in its order, in which those of a family or pattern come.
        families: gives the columns of each family; called only when a family is named.
        labels: labels that were asked for as such; naming them here once more does no harm.

    Raises:
        UsageError: something unknown, or a label, which a feature list must never hold.
    """
    features = [name for name in there if name not in KEYS]
    if wanted is None:
        return features
    items = [item for item in texts(wanted) if item not in {*KEYS, *labels}]
    _refuse_labels(items)
    found, problems = [], []
    for item in items:
        if item.startswith(FAMILY):
            known = {name: set(columns) for name, columns in families().items()}
            own = known.get(item.removeprefix(FAMILY), set())
            names = [name for name in features if name in own]
            others = [f"{FAMILY}{name}" for name in known]
        else:
            names, others = list(_matching(item, features)), features
        found += names
        if not names:
            problems.append(_unknown(item, others))
    _raise_for("columns", problems)
    return list(dict.fromkeys(found))


def labels_of(wanted: bool | str | Iterable[str] | None, there: Sequence[str]) -> list[str]:
    """The labels that are meant, each once, in the order they are asked for.

    Args:
        wanted: names or patterns; True for all, None or False for none.
        there: every label, in order.

    Raises:
        UsageError: something that is no label.
    """
    if wanted is None or wanted is False:
        return []
    if wanted is True:
        return list(there)
    found, problems = [], []
    for item in texts(wanted):
        names = list(_matching(item, there))
        found += names
        if not names:
            problems.append(_unknown(item, there))
    _raise_for("labels", problems)
    return list(dict.fromkeys(found))


def _refuse_labels(items: Sequence[str]) -> None:
    labels = [item for item in items if item.startswith(LABEL_PREFIX)]
    if labels:
        raise UsageError(
            f"columns {', '.join(map(repr, labels[:_SHOWN]))}: a label knows the future of its row "
            "and is never a feature",
            f"ask for it beside the features: labels={labels[:_SHOWN]}",
        )


def _matching(item: str, there: Sequence[str]) -> Iterator[str]:
    """The columns a name or pattern means."""
    if _WILD & set(item):
        yield from (name for name in there if fnmatchcase(name, item))
    elif item in there:
        yield item


def _unknown(item: str, there: Sequence[str]) -> str:
    text = "".join(letter for letter in item if letter not in _WILD)
    near = difflib.get_close_matches(text, there, _NEAREST, cutoff=0.0)
    return f"{item!r} (did you mean {', '.join(near)}?)" if near else repr(item)


def _raise_for(what: str, problems: Sequence[str]) -> None:
    if problems:
        more = f" and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise UsageError(f"load {what}: not there: {'; '.join(problems[:_SHOWN])}{more}")
