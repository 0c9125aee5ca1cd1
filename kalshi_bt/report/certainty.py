"""Where a number lies, and what that rests on, in words."""

from collections.abc import Iterable, Sequence

from kalshi_bt.report.model import Scores
from kalshi_bt.report.wording import label, worded


def between(scores: Scores, name: str) -> str:
    """Return where a metric lies, in its unit; empty where no interval was computed.

    Examples
    --------
    >>> odds = {"value": 0.521, "unit": "fraction", "interval": {"low": 0.47, "high": 0.572}}
    >>> between({"win_rate": odds}, "win_rate")
    '[47.0, 57.2]'
    """
    entry = scores.get(name, {})
    interval = entry.get("interval")
    if entry.get("value") is None or not interval:
        return ""
    ends = (worded(name, interval[end], entry.get("unit", "")) for end in ("low", "high"))
    return "[" + ", ".join(end.removesuffix("%").removesuffix(" days") for end in ends) + "]"


def counted_clusters(count: int, kind: str) -> str:
    """Return how many of what an interval takes for independent.

    Examples
    --------
    >>> counted_clusters(1_200, "settlement instant"), counted_clusters(1, "day")
    ('1,200 settlement instants', '1 day')
    """
    return f"{count:,} {kind}" if count == 1 or kind.endswith("s") else f"{count:,} {kind}s"


def grounds(scores: Scores, names: Sequence[str]) -> list[dict[str, str]]:
    """Return what each kind of interval among some metrics rests on, or why there is none.

    Examples
    --------
    >>> lies = {"low": 0.4, "high": 0.6, "level": 0.95, "method": "bootstrap of whole events",
    ...         "clusters": "event", "n_clusters": 14}
    >>> odds = {"value": 0.5, "unit": "fraction", "interval": lies}
    >>> grounds({"win_rate": odds}, ["win_rate"])[0]["rests"]
    '95% intervals, bootstrap of whole events; 14 events taken for independent'
    """
    kinds: dict[str, list[str]] = {}
    for name in names:
        if between(scores, name):
            found = scores[name]["interval"]
            count = counted_clusters(found["n_clusters"], found["clusters"])
            rests = f"{found['level']:.0%} intervals, {found['method']}; {count}"
            kinds.setdefault(f"{rests} taken for independent", []).append(label(name))
    found = [{"names": ", ".join(names), "rests": rests} for rests, names in kinds.items()]
    return found + without(scores, names)


def without(scores: Scores, names: Iterable[str]) -> list[dict[str, str]]:
    """Return why some metrics have no interval, and which.

    Examples
    --------
    >>> without({"fees": {"interval_reason": "counted"}}, ["fees"])
    [{'names': 'Fees', 'rests': 'no interval: counted'}]
    """
    kinds: dict[str, list[str]] = {}
    for name in names:
        why = scores.get(name, {}).get("interval_reason")
        if why:
            kinds.setdefault(f"no interval: {why}", []).append(label(name))
    return [{"names": ", ".join(names), "rests": why} for why, names in kinds.items()]
