"""What the page's script reads, read as it does: packed columns, the chart of one market."""

from base64 import b64decode
from copy import deepcopy
from functools import cache
from typing import Any


def unpacked(column: dict[str, Any]) -> list[float | None]:
    """Read a packed column: bits first, then numbers, then their sums."""
    return list(_numbers(column["steps"], column["times"], column["per"]))


@cache  # one column has the charts of all markets
def _numbers(steps: str, times: int, per: int) -> tuple[float | None, ...]:
    codes, bits = [], ""
    for octet in b64decode(steps):
        bits = f"{octet & 127:07b}{bits}"
        if octet < 128:
            codes.append(int(bits, 2))
            bits = ""
    assert not bits
    total, values = 0, list[float | None]()
    for code in codes:
        size = code // 2 * times
        total += size if code % 2 else -size
        values.append(total / per if code else None)
    return tuple(values)


def chart_of(charts: dict[str, Any], ticker: str) -> dict[str, Any]:
    """Return the figure of one market, its columns as plain lists."""
    number = charts["tickers"].index(ticker)

    def own(rows: dict[str, Any], values: list[Any]) -> list[Any]:
        counts = [int(count or 0) for count in unpacked(rows)]
        assert sum(counts) == len(values)
        begin = sum(counts[:number])
        return values[begin : begin + counts[number]]

    columns = {name: own(charts["rows"], unpacked(c)) for name, c in charts["columns"].items()}
    for kind, marks in charts["marks"].items():
        for name in ("time", "price", "quantity", "fee", "reason", "role"):
            columns[f"{kind} {name}"] = own(marks["rows"], unpacked(marks[name]))
        said = columns[f"{kind} reason"], columns[f"{kind} role"]
        columns[f"{kind} text"] = [
            " ".join(charts["words"][int(code or 0)] for code in codes)
            for codes in zip(*said)  # noqa: B905  rows of one table
        ]
    figure = deepcopy(charts["figure"])
    figure["columns"] = columns
    figure["data"] = [
        trace
        for trace in figure["data"]
        if all(
            any(value is not None for value in columns.get(name, []))
            for name in trace.get("between", [trace["y"][1:]])
        )
    ]
    return figure


def told_of(charts: dict[str, Any], ticker: str) -> dict[str, float | None]:
    """Return what is said of one market beside its chart."""
    number = charts["tickers"].index(ticker)
    return {name: unpacked(column)[number] for name, column in charts["about"].items()}
