"""What could have happened inside a bar: changes of the book and trades that make it again.

A bar keeps extremes, not their order. Both sides open, are at their highest together, then at
their lowest, then at their close, with the trades at open, high, low and close of the price in
between: so a bar of a real book never crosses. What comes back when bars are made of it:

- high, low and close of both sides, all prices, volume and open interest, exactly;
- the open where it is the close before, for a bar begins with the state that it finds; else the
  close before counts as a state of the bar, and may widen it;
- quiet bars in addition, where the dataset leaves out bars in which nothing happened.

Not reproduced: sizes that were not stored (each level is a million contracts then); more than four
trades a bar; a state of a bar in which its book is crossed; quotes of bars that have none of a book
(``trades``, ``none``), and all but the close of ``snapshot``; the volume of a bar without a price,
and the prices of one with less than a hundredth of a contract each.
"""

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from kalshi_bt.schema import OHLC
from kalshi_bt.units import PRICE_SCALE, QUANTITY_SCALE
from live_adapter.exchange.happenings import Counted, Happening, Levels, Printed, Seen

UNSIZED = 1_000_000 * QUANTITY_SCALE  # a level whose size is not known
SLOTS = 10  # equal parts of a bar; the last ends with it, and nothing happens there


def path(
    row: Mapping[str, Any], span: tuple[int | None, int | None], *, booked: bool, traded: bool
) -> Iterator[Happening]:
    """Yield what happened in a bar, in the order of time.

    Parameters
    ----------
    row : mapping
        Of `schema.CANDLES`, its time in microseconds.
    span : tuple of int or None
        When the market opens and ends: nothing happens before and after.
    booked, traded : bool
        Whether books and trades of the market are stored, and so not made here.
    """
    begin, end = row["time"] - row["period"] * 1_000_000, row["time"]
    low, high = max(begin, span[0] or begin), min(end, span[1] or end)
    if high - low < SLOTS * 1_000:  # no milliseconds to tell its parts apart
        low, high = begin, end
    at = [low + (high - low) * slot // SLOTS for slot in range(SLOTS)]
    states = {} if booked else _states(row)
    prints = {} if traded else dict(enumerate(_prints(row)))
    for part in range(4):
        if part in states:
            yield Seen(at[2 * part + 1], row["ticker"], *states[part])
        if part in prints:
            price, quantity = prints[part]
            name = str(uuid5(NAMESPACE_OID, f"{row['ticker']} {row['time']} {part}"))
            side = 1 if part in {0, 1} else -1
            yield Printed(at[2 * part + 2], row["ticker"], name, price, quantity, side)
    if row["open_interest"] is not None:
        yield Counted(at[-1], row["ticker"], row["open_interest"])


def _states(row: Mapping[str, Any]) -> dict[int, tuple[Levels, Levels]]:
    """Return the book at the open, the highest, the lowest and the close of a bar."""
    source = row["quote_source"]
    if source not in {"candle", "book", "snapshot"}:
        return {}
    found = {}
    for part, name in enumerate(OHLC):
        if source == "snapshot" and name != "close":
            continue
        bid, ask = row[f"bid_{name}"] or 0, row[f"ask_{name}"]
        ask = PRICE_SCALE if ask is None else ask
        if bid < ask:
            found[part] = (
                _level(bid, row["bid_size"]) if bid else {},
                _level(ask, row["ask_size"]) if ask < PRICE_SCALE else {},
            )
    return found


def _level(price: int, size: int | None) -> Levels:
    return {price: size or UNSIZED}


def _prints(row: Mapping[str, Any]) -> list[tuple[int, int]]:
    """Return price and quantity of the trades at open, high, low and close, each price once."""
    prices = [row[f"price_{name}"] for name in OHLC]
    if None in prices:
        return []
    first, high, low, last = prices
    volume = 4 * QUANTITY_SCALE if row["volume"] is None else row["volume"]
    between = [price for price in dict.fromkeys((high, low)) if price not in {first, last}]
    wanted = [first, *between] + ([last] if last != first or between else [])
    if volume < len(wanted):
        return []
    part = volume // len(wanted)
    sizes = [part] * (len(wanted) - 1)
    return [*zip(wanted, [*sizes, volume - sum(sizes)], strict=True)]
