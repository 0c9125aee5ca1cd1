"""Every fee an account was charged, computed again from its fills."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from kalshi_bt.errors import DataError, KalshiBtError
from kalshi_bt.fee_schedule import PUBLISHED, Schedule, Terms, general_terms
from kalshi_bt.fee_statement import BY_DATE, PRECISIONS, balance_precision, microseconds
from kalshi_bt.fees import rounding_at
from kalshi_bt.fills_file import Fill, parse_fill, read_rows
from kalshi_bt.simulator.rules import EXCHANGE, ORDER_CENT, fill_fee
from kalshi_bt.units import PRICE_SCALE, QUANTITY_SCALE, format_money

_SHOWN: Final = 20  # differences in the text


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What came of computing every fee again.

    Attributes
    ----------
    rows : int
        In the file, those that could not be used among them.
    equal : int
        Fills whose fee is the computed one to the last digit.
    differences : tuple of mapping
        One for each other row: `row` (0-based), `reason`, and as far as they could be read
        `fill_id`, `order_id`, `ticker`, `time`, `role`, `price`, `count`, `charged`, `expected`.
    precision : str
        The step of the account's balance that the fees were computed with, dollars; ``auto``: that
        of the date of each fill.
    assumed : tuple of str
        Series without terms of their own, for which the general schedule was taken.
    """

    rows: int
    equal: int
    differences: tuple[Mapping[str, Any], ...]
    precision: str
    assumed: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """0 if all are equal, else 1."""
        return 0 if self.equal == self.rows else 1

    def json(self) -> dict[str, Any]:
        """Return rows, equal and differences as plain values."""
        return {
            "rows": self.rows,
            "equal": self.equal,
            "differences": [dict(d) for d in self.differences],
        }

    def text(self) -> str:
        """Return the counts and the first differences as lines of text."""
        lines = [f"{self.equal:,} of {self.rows:,} fees are equal to the last digit"]
        step = f"{self.precision} dollars" if self.precision != BY_DATE else "that of each date"
        lines.append(f"balance step {step}")
        if self.assumed:
            lines.append(f"general schedule taken for {', '.join(self.assumed)}")
        for d in self.differences[:_SHOWN]:
            what = " ".join(str(d[name]) for name in ("time", "ticker", "order_id") if name in d)
            lines.append(f"row {d['row']} {what}: {d['reason']}".replace(" :", ":"))
        if len(self.differences) > _SHOWN:
            lines.append(f"and {len(self.differences) - _SHOWN:,} more")
        return "\n".join(lines) + "\n"


def reconcile(
    path: Path, *, precision: str | None = None, schedule: Schedule | None = None
) -> Reconciliation:
    """Return which fees of a file of fills are what the fee rules say.

    The fills of an order are taken in order of time, because what the rounding of one took can be
    handed back by the next. A series that nothing is known of is computed by the general schedule:
    whether that is right shows in the fees themselves.

    Parameters
    ----------
    path : Path
        A .parquet, .csv or .json file with the fields of ``GET /portfolio/fills``.
    precision : str, optional
        The step of the account's balance: ``auto`` (of the date of each fill), 0.0001 or 0.01
        dollars. None: that which explains most of the fees, the first of these among equals.
    schedule : Schedule, optional
        Terms to look up before the built-in ones.

    Raises
    ------
    UsageError
        If the file is not there, or of no known kind; if the precision is unknown.
    DataError
        If the file as a whole cannot be read.
    """
    choices = (BY_DATE, *PRECISIONS) if precision is None else (precision,)
    for name in choices:
        balance_precision(name, None)  # refuses an unknown one before any work
    rows = read_rows(path)
    fills, bad = _parsed(rows)
    books = (schedule, PUBLISHED) if schedule is not None else (PUBLISHED,)
    rated, assumed = _rated(fills, books, bad)
    fees = {step: _fees(rated, step) for step in choices}
    right = {
        step: sum(f.charged == fee for (f, _), fee in zip(rated, found, strict=True))
        for step, found in fees.items()
    }
    step = max(choices, key=lambda name: right[name])  # the first of equals
    wrong = [
        {**_facts(fill), "expected": format_money(fee), "reason": _reason(fill, fee, terms)}
        for (fill, (_, terms)), fee in zip(rated, fees[step], strict=True)
        if fill.charged != fee
    ]
    found = sorted([*bad, *wrong], key=lambda difference: difference["row"])
    return Reconciliation(len(rows), right[step], tuple(found), step, assumed)


Rated = tuple[Fill, tuple[int, Terms]]


def _parsed(rows: Sequence[Mapping[str, Any]]) -> tuple[list[Fill], list[dict[str, Any]]]:
    """Return the fills in order of time, and what is wrong with the other rows."""
    fills: list[Fill] = []
    bad: list[dict[str, Any]] = []
    seen: dict[tuple[str, str], int] = {}
    for index, row in enumerate(rows):
        try:
            fill = parse_fill(index, row)
        except DataError as error:
            named = {k: row[k] for k in ("fill_id", "order_id", "ticker") if row.get(k)}
            bad.append({"row": index, **named, "reason": f"cannot be read: {error}"})
            continue
        first = seen.setdefault((fill.fill_id, fill.order_id), index)
        if fill.fill_id and first != index:
            bad.append({**_facts(fill), "reason": f"the same fill as row {first}; left out"})
        else:
            fills.append(fill)
    if fills and fills[0].time > fills[-1].time:
        fills.reverse()  # the exchange lists the newest first, also within one moment
    return sorted(fills, key=lambda fill: fill.time), bad


def _rated(
    fills: Iterable[Fill], books: Sequence[Schedule], bad: list[dict[str, Any]]
) -> tuple[list[Rated], tuple[str, ...]]:
    """Return each fill with its rate and terms, and the series with none of their own."""
    rated: list[Rated] = []
    assumed: set[str] = set()
    for fill in fills:
        series, event = fill.ticker.split("-")[0], fill.ticker.rpartition("-")[0]
        book = next((b for b in books if series in b.series), None)
        try:
            terms = general_terms() if book is None else book.at(series, fill.time, event)
            rated.append((fill, (terms.rate("taker" if fill.taker else "maker", fill.time), terms)))
        except KalshiBtError as error:
            bad.append({**_facts(fill), "reason": str(error)})
        if book is None:
            assumed.add(series)
    return rated, tuple(sorted(assumed))


def _fees(rated: Sequence[Rated], precision: str) -> list[int]:
    """Return the fee of each fill, given what earlier fills of its order left behind."""
    left: dict[str, tuple[bool, int, int]] = {}
    fees: list[int] = []
    for fill, (rate, _) in rated:
        by_cent, quantum = rounding_at(microseconds(fill.time))
        before, paid, rest = left.get(fill.order_id, (by_cent, 0, 0))
        if before != by_cent:
            paid, rest = 0, 0
        fee, paid, rest = fill_fee(
            ORDER_CENT if by_cent else EXCHANGE,
            quantum,
            balance_precision(precision, fill.time),
            rate,
            fill.quantity,
            fill.price,
            fill.revenue,
            paid,
            rest,
        )
        left[fill.order_id] = by_cent, paid, rest
        fees.append(fee)
    return fees


def _facts(fill: Fill) -> dict[str, Any]:
    return {
        "row": fill.row,
        "fill_id": fill.fill_id,
        "order_id": fill.order_id,
        "ticker": fill.ticker,
        "time": fill.time.isoformat().replace("+00:00", "Z"),
        "role": "taker" if fill.taker else "maker",
        "price": f"{fill.price / PRICE_SCALE:.4f}",
        "count": f"{fill.quantity / QUANTITY_SCALE:.2f}",
        "charged": format_money(fill.charged),
    }


def _reason(fill: Fill, fee: int, terms: Terms) -> str:
    multiplier = format_money(terms.multiplier).removesuffix(".00")
    return (
        f"charged {format_money(fill.charged)}, expected {format_money(fee)} by {terms.fee_type} "
        f"x {multiplier} ({terms.source}); --data DIR looks up the terms of a dataset"
    )
