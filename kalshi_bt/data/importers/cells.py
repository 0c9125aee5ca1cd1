"""Cells of outside tables read as the stored types: prices, quantities, times, sides.

A cell that cannot be read becomes null and fails a check that names its column and what stood
there. A column that can be read nowhere (of the wrong type, times without a zone) is an error.
"""

from collections.abc import Callable
from dataclasses import replace

import polars as pl

from kalshi_bt.data.importers.mapping import Column, Entry, Kind, kind
from kalshi_bt.data.validate import Check
from kalshi_bt.errors import DataError
from kalshi_bt.units import (
    DURATIONS,
    PRICE_UNITS,
    QUANTITY_SCALE,
    RATE_SCALE,
    SECOND,
    parse_duration,
)

RAW, LESS = "raw:", "less:"  # prefixes: what stood in the file; microseconds before the close
SIDE = "side:"  # whose prices a row states
_TOLERANCE = {"price": 1e-2, "quantity": 1e-4, "rate": 1e-3}  # 1e-6 dollars, contracts; 1e-9
_ISO = (
    r"^(?<day>\d{4}-\d{2}-\d{2})[T ](?<minute>\d{2}:\d{2})(?<second>:\d{2}(?:\.\d+)?)?"
    r"\s*(?<zone>[Zz]|[+-]\d{2}:?\d{2})?$"
)
_PERIOD = r"^(\d+)\s*(s|m|h|d)?$"

Cell = tuple[pl.Expr, list[Check]]


def clean(name: str, dtype: pl.DataType, null: tuple[str, ...]) -> pl.Expr:
    """Return a column of the file with its words for null as null, text trimmed."""
    cell = pl.col(name)
    if isinstance(dtype, pl.Categorical | pl.Enum | pl.Null):
        cell, dtype = cell.cast(pl.String), pl.String()
    if isinstance(dtype, pl.String):
        text = cell.str.strip_chars()
        return pl.when(~text.is_in(list(null))).then(text)
    if dtype.is_float() and "NaN" in null:
        return cell.fill_nan(None)
    return cell


def read_cells(frame: pl.DataFrame, entry: Entry, where: str) -> tuple[pl.DataFrame, list[Check]]:
    """Return the columns of an entry as typed cells beside the raw ones, and the checks on them.

    Parameters
    ----------
    frame : frame
        A column `raw:<name>` for every mapped column, cleaned.
    entry : Entry
        What the columns mean.
    where : str
        The file, for messages.

    Returns
    -------
    frame, checks
        Prices and quantities as Int64 in stored units, times as UTC microseconds. A time given as
        a distance from the close is the column `less:<name>` (Int64, microseconds).

    Raises
    ------
    DataError
        If a column has a type its cells cannot have, or times lack a unit or a zone.
    """
    asked: list[Check] = []
    for name, column in entry.columns.items():
        if column.last_candle:
            continue
        frame, checks = _translate(frame, name, column)
        origin = f"column {column.source!r}" if column.source else "the value"
        place = f"{where}: {origin} (for {entry.into}.{name})"
        if column.close_less is not None:
            value, more = _distance(frame, name, column, place)
        else:
            value, more = _READ[kind(entry.into, name)](frame, name, entry, place)
        checks += more
        # The checks are asked of the cell as it stands now, and their answers kept.
        answers = [f"fails:{name}:{check.reason}" for check in checks]
        frame = frame.with_columns(
            value.alias(LESS + name if column.close_less else name),
            *(check.fails.alias(answer) for check, answer in zip(checks, answers, strict=True)),
        )
        asked += [
            replace(check, fails=pl.col(answer))
            for check, answer in zip(checks, answers, strict=True)
        ]
    return frame, asked


def _translate(frame: pl.DataFrame, name: str, column: Column) -> tuple[pl.DataFrame, list[Check]]:
    """Add the column `name`: the raw cells after pattern and map."""
    raw = pl.col(RAW + name)
    cell, asked = raw, []
    if column.pattern is not None:
        cell = cell.cast(pl.String).str.extract(column.pattern, 1)
        asked.append(Check("no_match", raw.is_not_null() & cell.is_null(), _shown(name)))
    if column.map is not None:
        words, new = cell.cast(pl.String), list(column.map.values())
        alike = new if len({type(v) for v in new}) == 1 else [str(v) for v in new]
        cell = words.replace_strict(pl.Series(list(column.map)), pl.Series(alike), default=None)
        asked.append(Check("unmapped", words.is_not_null() & cell.is_null(), _shown(name)))
    return frame.with_columns(cell.alias(name)), asked


def _shown(name: str) -> pl.Expr:
    return pl.format(f"{name}={{}}", pl.col(RAW + name).cast(pl.String).fill_null("null"))


def _unreadable(name: str, value: pl.Expr, reason: str = "unparsable_number") -> Check:
    """Return the check that a cell which held something was read."""
    return Check(reason, pl.col(RAW + name).is_not_null() & value.is_null(), _shown(name))


def _numbers(frame: pl.DataFrame, name: str, place: str) -> pl.Expr:
    """Return cells as finite Float64; null where there is no number."""
    dtype = frame.schema[name]
    if not (dtype.is_numeric() or isinstance(dtype, pl.String)):
        raise DataError(f"{place} is {dtype}, expected numbers")
    number = pl.col(name).cast(pl.Float64, strict=False)
    return pl.when(number.is_finite()).then(number)


def _scaled(frame: pl.DataFrame, name: str, scale: int, what: Kind, place: str) -> Cell:
    """Return numbers times `scale` as the nearest integer, which must be near."""
    exact = _numbers(frame, name, place) * scale
    whole = exact.round()
    value = whole.cast(pl.Int64, strict=False)
    far = Check("off_grid", (exact - whole).abs() > _TOLERANCE[what], _shown(name))
    return value, [_unreadable(name, value), far]


def _price(frame: pl.DataFrame, name: str, entry: Entry, place: str) -> Cell:
    return _scaled(frame, name, PRICE_UNITS[entry.price_unit or "dollars"], "price", place)


def _quantity(frame: pl.DataFrame, name: str, entry: Entry, place: str) -> Cell:
    scale = QUANTITY_SCALE if entry.quantity_unit == "contracts" else 1
    return _scaled(frame, name, scale, "quantity", place)


def _rate(frame: pl.DataFrame, name: str, _entry: Entry, place: str) -> Cell:
    return _scaled(frame, name, RATE_SCALE, "rate", place)


def _number(frame: pl.DataFrame, name: str, _entry: Entry, place: str) -> Cell:
    value = _numbers(frame, name, place)
    return value, [_unreadable(name, value)]


def _text(frame: pl.DataFrame, name: str, _entry: Entry | None, place: str) -> Cell:
    dtype = frame.schema[name]
    if dtype.is_nested() or dtype.is_temporal():
        raise DataError(f"{place} is {dtype}, expected text")
    return pl.col(name).cast(pl.String), []


def _words(frame: pl.DataFrame, name: str, place: str, known: dict[str, int]) -> pl.Expr:
    """Return words, in any case, as the numbers they stand for; null for others."""
    value, _ = _text(frame, name, None, place)
    codes = pl.Series(list(known.values()), dtype=pl.Int8)
    return value.str.to_lowercase().replace_strict(pl.Series(list(known)), codes, default=None)


def _flag(frame: pl.DataFrame, name: str, _entry: Entry, place: str) -> Cell:
    value = _words(frame, name, place, {"true": 1, "false": 0, "1": 1, "0": 0}).cast(pl.Boolean)
    return value, [_unreadable(name, value, "unmapped")]


def _side(frame: pl.DataFrame, name: str, _entry: Entry, place: str) -> Cell:
    value = _words(frame, name, place, {"yes": 1, "no": -1, "1": 1, "-1": -1})
    return value, [_unreadable(name, value, "unknown_side")]


def _period(frame: pl.DataFrame, name: str, _entry: Entry, place: str) -> Cell:
    """Return seconds from numbers of seconds or durations such as 1h."""
    text, _ = _text(frame, name, None, place)
    text = text.str.strip_suffix(".0")
    units = pl.Series(list(DURATIONS)), pl.Series([v // SECOND for v in DURATIONS.values()])
    unit = text.str.extract(_PERIOD, 2).fill_null("s").replace_strict(*units, default=None)
    value = text.str.extract(_PERIOD, 1).cast(pl.Int64, strict=False) * unit
    return value, [_unreadable(name, value)]


def _distance(frame: pl.DataFrame, name: str, column: Column, place: str) -> Cell:
    """Return how long before the close, in microseconds."""
    number = _numbers(frame, name, place)
    factor = 1e-3 if column.unit == "ns" else DURATIONS[column.unit or "s"]
    value = (number * factor).round().cast(pl.Int64, strict=False)
    return value, [_unreadable(name, value)]


def _time(frame: pl.DataFrame, name: str, entry: Entry, place: str) -> Cell:
    """Return UTC microseconds from a timestamp, a number of an epoch or ISO 8601 text."""
    column, dtype = entry.columns[name], frame.schema[name]
    if isinstance(dtype, pl.Datetime) and column.unit in {None, "datetime"} and not column.format:
        value = _stamps(dtype, name, column, place)
    elif isinstance(dtype, pl.String) and column.format is not None:
        value = _formatted(name, column, place)
    elif isinstance(dtype, pl.String) and column.unit in {None, "iso"}:
        value = _iso(frame, name, column, place)
    elif (dtype.is_numeric() or isinstance(dtype, pl.String)) and column.unit in _EPOCHS:
        value = _epoch(dtype, name, column.unit or "s")
        if column.zone is not None:  # a local clock, counted as if it were UTC
            value = _in_zone(value.dt.replace_time_zone(None), column.zone)
    elif dtype.is_numeric() and column.unit is None:
        raise DataError(f"{place} holds numbers without a unit; give unit = s, ms, us or ns")
    else:
        expected = f"unit {column.unit!r}" if column.unit else "times"
        raise DataError(f"{place} is {dtype}, expected {expected}")
    if column.plus is not None:
        value += pl.duration(microseconds=parse_duration(column.plus))
    return value, [_unreadable(name, value, "unparsable_time")]


def _formatted(name: str, column: Column, place: str) -> pl.Expr:
    """Return text in a format of its own in UTC."""
    if column.zone is None:
        raise DataError(f"{place} has times without a zone; say which, such as zone = 'UTC'")
    kind = pl.Datetime("us")
    return _in_zone(pl.col(name).str.strptime(kind, column.format, strict=False), column.zone)


_MOST = 2**63 - 1
_EPOCHS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}


def _epoch(dtype: pl.DataType, name: str, unit: str) -> pl.Expr:
    """Return the time that many units after 1970."""
    cell, nanoseconds = pl.col(name), _EPOCHS[unit]
    if dtype.is_integer():
        wide, factor = cell.cast(pl.Int64, strict=False), max(nanoseconds // 1_000, 1)
        fits = pl.when(wide.is_between(-(_MOST // factor), _MOST // factor)).then(wide)
        micro = fits * factor if nanoseconds > 1 else fits // 1_000
    else:
        number = cell.cast(pl.Float64, strict=False) * (nanoseconds / 1_000)
        micro = number.round().cast(pl.Int64, strict=False)
    return micro.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")


def _stamps(dtype: pl.Datetime, name: str, column: Column, place: str) -> pl.Expr:
    """Return timestamps in UTC; those of no zone need one."""
    cell = pl.col(name).dt.cast_time_unit("us")
    if dtype.time_zone is not None:
        return cell.dt.convert_time_zone("UTC")
    if column.zone is None:
        raise DataError(f"{place} has times without a zone; say which, such as zone = 'UTC'")
    return _in_zone(cell, column.zone)


def _in_zone(cell: pl.Expr, zone: str) -> pl.Expr:
    """Return local times in UTC; null where the clock skipped or repeated them."""
    local = cell.dt.replace_time_zone(zone, ambiguous="null", non_existent="null")
    return local.dt.convert_time_zone("UTC")


def _iso(frame: pl.DataFrame, name: str, column: Column, place: str) -> pl.Expr:
    """Return ISO 8601 text in UTC; text without an offset needs a zone."""
    parts = pl.col(name).str.extract_groups(_ISO).struct
    offset = parts.field("zone")
    digits = pl.concat_str(
        parts.field("day"),
        pl.lit("T"),
        parts.field("minute"),
        parts.field("second").fill_null(":00"),
    )
    naive = digits.str.strptime(pl.Datetime("us"), "%Y-%m-%dT%H:%M:%S%.f", strict=False)
    if column.zone is None:
        lost = frame.lazy().filter(naive.is_not_null() & offset.is_null()).select(name).head(1)
        for (text,) in lost.collect().rows():
            raise DataError(
                f"{place} has times without a zone ({text!r}); say which, such as zone = 'UTC'"
            )
    sign = pl.when(offset.str.starts_with("-")).then(-1).otherwise(1)
    hours = offset.str.slice(1, 2).cast(pl.Int64, strict=False).fill_null(0)
    minutes = offset.str.slice(-2).cast(pl.Int64, strict=False).fill_null(0)
    shifted = naive - pl.duration(minutes=sign * (hours * 60 + minutes))
    utc = pl.when(offset.is_not_null()).then(shifted).dt.replace_time_zone("UTC")
    return utc if column.zone is None else pl.coalesce(utc, _in_zone(naive, column.zone))


_READ: dict[Kind, Callable[[pl.DataFrame, str, Entry, str], Cell]] = {
    "text": _text,
    "price": _price,
    "quantity": _quantity,
    "number": _number,
    "time": _time,
    "flag": _flag,
    "side": _side,
    "period": _period,
    "rate": _rate,
}
