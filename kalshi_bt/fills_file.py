"""Reading an account's fills as the exchange hands them out: field names, units and ages of them.

Prices and counts came as whole cents and whole contracts once, and as decimal strings later; which
side a fill bought has been said in three ways.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

import polars as pl

from kalshi_bt.errors import DataError, UsageError
from kalshi_bt.fees import MOST
from kalshi_bt.units import MONEY_SCALE, PRICE_SCALE, QUANTITY_SCALE

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# From here on the side of a fill is the one it bought, also where its action says "sell": fees of
# recorded fractions of a contract agree with nothing else.
_SIDE_IS_BOUGHT_FROM: Final = datetime(2026, 5, 6, tzinfo=UTC)
_NEEDED: Final = (
    ("ticker", "market_ticker"),
    ("order_id",),
    ("count_fp", "count"),
    tuple(f"{side}_price{unit}" for unit in ("_dollars", "", "_fixed") for side in ("yes", "no")),
    ("is_taker",),
    ("fee_cost",),
    ("created_time", "ts_ms", "ts"),
)
_BOUGHT: Final = {("yes", "buy"): True, ("no", "sell"): True} | {
    ("no", "buy"): False,
    ("yes", "sell"): False,
}


@dataclass(frozen=True, slots=True)
class Fill:
    """One fill of an account.

    Attributes
    ----------
    row : int
        0-based row of the file.
    fill_id, order_id, ticker : str
    time : datetime
    taker : bool
    price, quantity : int
        Of YES in centi-cents; centi-contracts.
    revenue : int
        Micro-dollars the trade itself brings, for the purchase that it was.
    charged : int
        The fee, micro-dollars.
    """

    row: int
    fill_id: str
    order_id: str
    ticker: str
    time: datetime
    taker: bool
    price: int
    quantity: int
    revenue: int
    charged: int


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a parquet, CSV or JSON file of fills, with the values as they stand.

    Raises
    ------
    UsageError
        If the file is not there, or its name has another ending.
    DataError
        If it cannot be read, or lacks a column.
    """
    if not path.is_file():
        raise UsageError(f"there is no file {path}")
    readers = {".parquet": _parquet, ".csv": _csv, ".json": _json}
    if path.suffix.lower() not in readers:
        raise UsageError(f"{path.name} is not a .parquet, .csv or .json file of fills")
    try:
        rows = readers[path.suffix.lower()](path)
    except (pl.exceptions.PolarsError, ValueError) as error:
        raise DataError(f"{path.name} cannot be read: {str(error).splitlines()[0]}") from None
    names = {name for row in rows for name in row}
    for choices in _NEEDED:
        if rows and not names & set(choices):
            raise DataError(
                f"{path.name} has no column {' or '.join(choices)}; "
                "expected fills as GET /portfolio/fills returns them"
            )
    return rows


def _parquet(path: Path) -> list[dict[str, Any]]:
    return pl.read_parquet(path).to_dicts()


def _csv(path: Path) -> list[dict[str, Any]]:
    return pl.read_csv(path, infer_schema=False).to_dicts()


def _json(path: Path) -> list[dict[str, Any]]:
    found = json.loads(path.read_text(encoding="utf-8-sig"), parse_float=Decimal)
    if isinstance(found, dict):
        found = found.get("fills")
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise ValueError('expected a list of fills, or {"fills": [...]}')
    return found


def parse_fill(index: int, row: Mapping[str, Any]) -> Fill:
    """Return a fill from one row.

    Raises
    ------
    DataError
        If a value is missing, not a number, more precise than the exchange's, or contradicted.

    Examples
    --------
    >>> old = {"ticker": "KXBTCD-A", "order_id": "o", "count": 3, "yes_price": 29, "side": "yes",
    ...     "action": "buy", "is_taker": True, "fee_cost": "0.05",
    ...     "created_time": "2025-11-02T10:00:00Z"}
    >>> fill = parse_fill(0, old)
    >>> fill.price, fill.quantity, fill.revenue
    (2900, 300, -870000)
    """
    time, yes = _time(row), _price(row)
    quantity = _whole(row, ("count_fp", "count"), QUANTITY_SCALE)
    if quantity <= 0:
        raise DataError(f"the count is {quantity / QUANTITY_SCALE}; expected above 0")
    if quantity > MOST * QUANTITY_SCALE:  # beyond it products would overflow
        raise DataError(f"the count is {quantity // QUANTITY_SCALE:,}; expected at most {MOST:,}")
    own = yes if _bought_yes(row, time) else PRICE_SCALE - yes
    return Fill(
        row=index,
        fill_id=str(row.get("fill_id") or row.get("trade_id") or ""),
        order_id=_text(row, "order_id"),
        ticker=_text(row, "ticker", "market_ticker"),
        time=time,
        taker=_flag(row, "is_taker"),
        price=yes,
        quantity=quantity,
        revenue=-quantity * own,
        charged=_whole(row, ("fee_cost",), MONEY_SCALE),
    )


def _found(row: Mapping[str, Any], names: tuple[str, ...]) -> tuple[str, Any]:
    """Return the first of several names that has a value, and the value."""
    for name in names:
        if row.get(name) not in (None, ""):
            return name, row[name]
    raise DataError(f"{' or '.join(names)} is missing")


def _text(row: Mapping[str, Any], *names: str) -> str:
    return str(_found(row, names)[1])


def _whole(row: Mapping[str, Any], names: tuple[str, ...], scale: int) -> int:
    """Return a decimal number as a whole multiple of 1/scale."""
    name, value = _found(row, names)
    try:
        scaled = Decimal(str(value)) * scale
        whole = int(scaled)
    except (InvalidOperation, ValueError, OverflowError):
        raise DataError(f"{name} is {value!r}; expected a decimal number") from None
    if whole != scaled:
        raise DataError(f"{name} is {value}; expected at most {len(str(scale)) - 1} decimals")
    return whole


def _price(row: Mapping[str, Any]) -> int:
    """Return the price of YES in centi-cents, from whichever of its names are there."""
    found: list[int] = []
    for side in ("yes", "no"):
        for name, scale, unit in (
            (f"{side}_price_dollars", PRICE_SCALE, 1),
            (f"{side}_price_fixed", PRICE_SCALE, 1),  # its name until April 2026
            (f"{side}_price", 1, PRICE_SCALE // 100),  # whole cents
        ):
            if row.get(name) not in (None, ""):
                price = _whole(row, (name,), scale) * unit
                found.append(price if side == "yes" else PRICE_SCALE - price)
                break
    if not found:
        raise DataError("yes_price_dollars or no_price_dollars is missing")
    if found[0] != found[-1]:
        raise DataError("the prices of yes and no do not add up to a dollar")
    if not 0 < found[0] < PRICE_SCALE:
        raise DataError(f"the price of yes is {found[0] / PRICE_SCALE}; expected between 0 and 1")
    return found[0]


def _bought_yes(row: Mapping[str, Any], time: datetime) -> bool:
    """Tell whether a fill bought YES; NO is bought, or YES sold, otherwise."""
    said = {
        {"bid": "yes", "ask": "no"}.get(str(row.get("book_side")).lower()),
        {"yes": "yes", "no": "no"}.get(str(row.get("outcome_side")).lower()),
    } - {None}
    if len(said) == 2:
        raise DataError("book_side and outcome_side contradict each other")
    if said:
        return said == {"yes"}
    side, action = (str(row.get(name)).lower() for name in ("side", "action"))
    if side in ("yes", "no") and (time >= _SIDE_IS_BOUGHT_FROM or action == "none"):
        return side == "yes"
    if (side, action) not in _BOUGHT:
        raise DataError(f"side is {row.get('side')!r} and action {row.get('action')!r}")
    return _BOUGHT[side, action]


def _flag(row: Mapping[str, Any], name: str) -> bool:
    value = str(_found(row, (name,))[1]).lower()
    if value not in ("true", "false", "1", "0"):
        raise DataError(f"{name} is {value!r}; expected true or false")
    return value in ("true", "1")


def _time(row: Mapping[str, Any]) -> datetime:
    name, value = _found(row, ("created_time", "ts_ms", "ts"))
    if name == "created_time":
        try:
            time = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
        except ValueError:
            raise DataError(f"created_time is {value!r}; expected a time with offset") from None
        if time.tzinfo is None:
            raise DataError(f"created_time is {value}, without an offset; expected UTC")
        return time.astimezone(UTC)
    steps = _whole(row, (name,), 1) * (1_000 if name == "ts_ms" else MONEY_SCALE)
    try:
        return _EPOCH + timedelta(microseconds=steps)
    except OverflowError:
        raise DataError(f"{name} is {value}; expected a time in this millennium") from None
