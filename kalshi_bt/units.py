"""Integer scales of money, price and quantity, and the way in and out of them.

A price is an integer number of centi-cents ($0.0001, 0 … 10 000, always the YES side), a quantity
an integer number of centi-contracts (0.01), money an integer number of micro-dollars: price ×
quantity, exactly. Rates are parts per million, because 0.5 × 0.0175 has no place in 1/10 000.
"""

from decimal import Decimal, InvalidOperation

import polars as pl

from kalshi_bt.errors import UsageError

PRICE_SCALE = 10_000  # centi-cents in a dollar
QUANTITY_SCALE = 100  # centi-contracts in a contract
MONEY_SCALE = 1_000_000  # micro-dollars in a dollar
RATE_SCALE = 1_000_000
CENT = 10_000  # micro-dollars in a cent
SECOND = 1_000_000  # microseconds
DAY = 86_400 * SECOND
NEVER = 2**63 - 1  # a time that does not come

PRICE_UNITS = {"dollars": 10_000, "cents": 100, "centi-cents": 1}
DURATIONS = {"us": 1, "ms": 1_000, "s": SECOND, "m": 60 * SECOND, "h": 3_600 * SECOND, "d": DAY}
_LONGEST = 36_500 * DAY
_DIGITS = len(str(_LONGEST)) + 1


def dollars(column: str | pl.Expr) -> pl.Expr:
    """Return a price column in dollars, the Float64 nearest to them; null stays null.

    Examples
    --------
    >>> pl.select(dollars(pl.lit(5_600, dtype=pl.Int16))).item()
    0.56
    """
    expr = pl.col(column) if isinstance(column, str) else column
    # Polars multiplies by the inverse of a constant, which makes 0.41 another number than 0.41.
    return (expr.cast(pl.Float64) / PRICE_SCALE).round(4)


def over(expr: pl.Expr, number: float) -> pl.Expr:
    """Return an expression over a number, to the last bit the same however many rows there are.

    Polars divides a single row by a constant, and several by multiplying with its inverse. What a
    session decides on one row must be what a backtest decides on it among others.

    Examples
    --------
    >>> rate = over(pl.col("taker"), RATE_SCALE)
    >>> made = [pl.DataFrame({"taker": [70_000] * n}).select(rate).item(0, 0) for n in (1, 2)]
    >>> made[0] == made[1]
    True
    """
    return expr * (1 / number)


def parse_money(text: str | float) -> int:
    """Return micro-dollars from dollars given as text or number, exactly.

    Raises
    ------
    UsageError
        If `text` is no finite decimal number with at most six decimals.

    Examples
    --------
    >>> parse_money("10000.01")
    10000010000
    """
    try:
        value = Decimal(str(text)) * MONEY_SCALE
        whole = int(value)
    except (InvalidOperation, ValueError, OverflowError):
        raise UsageError(f"{text!r} is not an amount in dollars, such as 10000 or 99.50") from None
    if whole != value:
        raise UsageError(f"{text!r} has more than six decimals of a dollar")
    return whole


def format_money(micro: int) -> str:
    """Return micro-dollars as a decimal string with at least two decimals.

    Examples
    --------
    >>> format_money(-12_345_600), format_money(5)
    ('-12.3456', '0.000005')
    """
    sign, micro = ("-", -micro) if micro < 0 else ("", micro)
    whole, part = divmod(int(micro), MONEY_SCALE)
    digits = f"{part:06d}".rstrip("0").ljust(2, "0")
    return f"{sign}{whole}.{digits}"


def parse_duration(text: str) -> int:
    """Return microseconds from a duration such as ``15s``, ``1m``, ``500ms`` or ``24h``.

    Raises
    ------
    UsageError
        If `text` is not a whole number followed by one of us, ms, s, m, h, d, or more than a
        hundred years.

    Examples
    --------
    >>> parse_duration("15m") // SECOND
    900
    """
    digits = text.rstrip("abcdefghijklmnopqrstuvwxyz")
    unit = text[len(digits) :]
    if not digits.isdecimal() or unit not in DURATIONS:
        raise UsageError(f"{text!r} is not a duration, such as 15s, 1m, 500ms or 24h")
    found = int(digits) * DURATIONS[unit] if len(digits) < _DIGITS else _LONGEST + 1
    if found > _LONGEST:
        raise UsageError(f"{text[:40]!r} is longer than a hundred years, {_LONGEST // DAY}d")
    return found
