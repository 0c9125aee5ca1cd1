"""The mapping a user writes: which file feeds which table, and what its columns mean.

The language is described in `kalshi_bt.data.importers.table`.
"""

import tomllib
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path, PurePath
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, available_timezones

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from kalshi_bt.errors import DataError, UsageError
from kalshi_bt.schema import (
    OHLC,
    STORED,
    DeterminationStatus,
    Price,
    PriceRanges,
    Schema,
    Time,
)
from kalshi_bt.units import RATE_SCALE, SECOND, parse_duration

Scalar = bool | int | float | str
Kind = Literal["text", "price", "quantity", "number", "time", "flag", "side", "period", "rate"]
Dollars = Annotated[Decimal, Field(ge=0, le=1, multiple_of=Decimal("0.0001"))]
Into = Literal[
    "candles",
    "markets",
    "settlements",
    "determinations",
    "trades",
    "books",
    "series",
    "references",
]

NULL_WORDS = ("", "NA", "N/A", "NaN", "nan", "null", "None")
PRICES = tuple(f"price_{part}" for part in OHLC)
SIDES = {side: tuple(f"{side}_{part}" for part in OHLC) for side in ("bid", "ask")}
_KINDS: dict[Any, Kind] = {
    pl.String: "text",
    DeterminationStatus: "text",
    pl.Int16: "price",
    pl.Int64: "quantity",
    pl.Float64: "number",
    pl.Boolean: "flag",
    pl.Int8: "side",
    pl.Int32: "period",
    Time: "time",
}
# A file tells of a book its best prices; the importer makes the levels.
_BEST: Schema = {
    "ticker": pl.String,
    "time": Time,
    "bid": Price,
    "ask": Price,
    "bid_size": pl.Int64,
    "ask_size": pl.Int64,
}
_SIZES = {"bid_size", "ask_size"}
# What the importer works out itself where the file does not say.
_DERIVED = {"payout", "settlements.time", "effective_from", "references.field"}


def kind(table: str, column: str) -> Kind:
    """Return how the cells of a stored column are read.

    Examples
    --------
    >>> kind("candles", "price_open"), kind("markets", "floor_strike")
    ('price', 'number')
    """
    return "rate" if column == "fee_multiplier" else _KINDS[_columns(table)[column]]


def _columns(table: str) -> Schema:
    """Return the columns of a table that a mapping can name."""
    known = _BEST if table == "books" else STORED[table].columns
    return {n: t for n, t in known.items() if n not in {"quote_source", "price_ranges"}}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Column(_Strict):
    """Where the cells of one stored column come from, and how they are read."""

    column: str | None = None
    value: Scalar | None = None
    join: tuple[str, ...] | None = Field(default=None, min_length=1)
    close_less: str | None = None
    last_candle: bool = False
    pattern: str | None = None
    map: dict[str, Scalar] | None = None
    unit: Literal["s", "ms", "us", "ns", "m", "h", "iso", "datetime"] | None = None
    zone: str | None = None
    format: str | None = None
    plus: str | None = None
    label: Literal["end", "start"] = "end"

    @property
    def source(self) -> str | None:
        """The column of the file, if the cells come from one."""
        return self.column or self.close_less

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        last = self.last_candle or None
        origins = (self.column, self.value, self.join, self.close_less, last)
        if sum(origin is not None for origin in origins) != 1:
            raise ValueError("give exactly one of column, value, join, close_less and last_candle")
        if self.pattern is not None and not _groups(self.pattern):
            raise ValueError(f"pattern {self.pattern!r} is no expression with a group ( )")
        if self.zone is not None and not _is_zone(self.zone):
            raise ValueError(str(UsageError.unknown("zone", self.zone, available_timezones())))
        if self.close_less and self.unit not in {"s", "ms", "us", "ns", "m", "h"}:
            raise ValueError(f"close_less = {self.close_less!r} needs unit = s, ms, us, ns, m or h")
        if not self.close_less and self.unit in {"m", "h"}:
            raise ValueError(f"unit = {self.unit!r} counts no known epoch; give s, ms, us or ns")
        if self.format is not None and self.unit is not None:
            raise ValueError("give one of format and unit")
        if self.plus is not None:
            _duration(self.plus)
        return self

    def refuse_time_keys(self) -> None:
        """Raise ValueError if a key is set that only a column of times has."""
        keys = ("unit", "zone", "format", "plus", "close_less")
        given = [key for key in keys if getattr(self, key) is not None]
        given += ["label"] if self.label != "end" else []
        given += ["last_candle"] if self.last_candle else []
        if given:
            raise ValueError(f"{given[0]} is for columns of times")


class NoTrade(_Strict):
    """The condition that nothing traded in a bar, whatever its price columns say."""

    column: str
    equals: float | str


class Band(_Strict):
    """A stretch of the price grid, in dollars."""

    start: Dollars
    end: Dollars
    step: Dollars


class Entry(_Strict):
    """One `[[table]]`: a file or glob, the table it feeds, and its columns."""

    into: Into
    source: str
    columns: dict[str, Column]
    price_unit: Literal["dollars", "cents", "centi-cents"] | None = None
    quantity_unit: Literal["contracts", "centi-contracts"] = "contracts"
    null: tuple[str, ...] = NULL_WORDS
    separator: str = Field(default=",", min_length=1, max_length=1)
    quotes: Literal["candle", "snapshot", "none", "book"] | None = None
    side: str | None = None
    bars: str | None = None
    silence: str | None = None
    empty_bid: float | None = None
    empty_ask: float | None = None
    no_trade: NoTrade | None = None
    settlement_lag: str = "24h"
    price_ranges: tuple[Band, ...] = ()
    derived: bool = False
    skip_unknown: bool = False

    @field_validator("columns", mode="before")
    @classmethod
    def _shorthand(cls, columns: Any) -> Any:
        if not isinstance(columns, dict):
            return columns
        return {k: {"column": v} if isinstance(v, str) else v for k, v in columns.items()}

    @field_validator("source")
    @classmethod
    def _relative(cls, source: str) -> str:
        if PurePath(source).is_absolute() or not source.strip():
            raise ValueError(f"source is {source!r}; give the name of a file or a glob")
        return source

    @field_validator("settlement_lag", "bars", "silence")
    @classmethod
    def _length(cls, text: str | None) -> str | None:
        if text is not None:
            _duration(text)
        return text

    @model_validator(mode="after")
    def _columns_fit(self) -> Self:
        known = list(_columns(self.into))
        nullable = _SIZES if self.into == "books" else STORED[self.into].nullable.keys()
        for name, column in self.columns.items():
            if name not in known:
                raise ValueError(str(UsageError.unknown(f"column of {self.into}", name, known)))
            if kind(self.into, name) != "time":
                column.refuse_time_keys()
            if column.label != "end" and self.into != "candles":
                raise ValueError("label is for the time of candles")
            if column.close_less and name != "time":
                raise ValueError("close_less is for the time of a row")
            if column.last_candle and (self.into, name) != ("settlements", "close_time"):
                raise ValueError("last_candle is for close_time of settlements")
        for name in known:
            derived = {name, f"{self.into}.{name}"} & _DERIVED
            if name not in self.columns and name not in nullable and not derived:
                raise ValueError(f"columns lacks {name}, which {self.into} cannot be without")
        if self.price_unit is None and "price" in {kind(self.into, n) for n in self.columns}:
            raise ValueError("price_unit is missing; give dollars, cents or centi-cents")
        return self

    @model_validator(mode="after")
    def _keys_fit(self) -> Self:
        places = {
            "quotes": ("candles", "books"),
            "empty_bid": ("candles", "books"),
            "empty_ask": ("candles", "books"),
            "no_trade": ("candles",),
            "side": ("candles",),
            "bars": ("books", "trades"),
            "silence": ("books",),
            "settlement_lag": ("settlements",),
            "price_ranges": ("markets",),
            "derived": ("markets", "settlements"),
        }
        for key, tables in places.items():
            if key in self.model_fields_set and self.into not in tables:
                raise ValueError(f"{key} is for {' and '.join(tables)}, not for {self.into}")
        dated = {"candles", "settlements", "determinations", "trades", "books"}
        if self.skip_unknown and self.into not in dated:
            raise ValueError(f"skip_unknown is for tables of known markets, not for {self.into}")
        if self.into == "candles":
            self._quotes_fit()
        if self.into == "books" and self.quotes not in {None, "book", "snapshot"}:
            raise ValueError("quotes of books are 'book' (every change) or 'snapshot'")
        if self.bars is not None and parse_duration(self.bars) % SECOND:
            raise ValueError(f"bars = {self.bars!r} is not a whole number of seconds")
        return self

    def _quotes_fit(self) -> None:
        """Check that the price and quote columns are those that `quotes` speaks of."""
        if 0 < sum(name in self.columns for name in PRICES) < len(PRICES):
            raise ValueError(f"columns must name all of {', '.join(PRICES)} or none of them")
        if self.quotes in {None, "book"}:
            raise ValueError("quotes is missing; give candle, snapshot or none")
        for side, names in SIDES.items():
            given = [name for name in names if name in self.columns]
            if self.quotes == "none" and given:
                raise ValueError(f"quotes = 'none', but columns names {given[0]}")
            if self.quotes == "candle" and len(given) < len(names):
                raise ValueError(f"quotes = 'candle' needs all of {', '.join(names)}")
            if self.quotes == "snapshot" and f"{side}_close" not in given:
                raise ValueError(f"quotes = 'snapshot' needs {side}_close")

    def ranges(self) -> pl.Series:
        """Return the price grid of the entry's markets as one cell; null for whole cents."""
        bands = [
            {k: int(v * 10_000) for k, v in band.model_dump().items()} for band in self.price_ranges
        ]
        return pl.Series([bands or None], dtype=PriceRanges)


class Series(_Strict):
    """One `[[series]]`: the category and the fees of one series or of all with a prefix."""

    series: str | None = None
    prefix: str | None = None
    category: str | None = None
    fee_type: Literal["quadratic", "quadratic_with_maker_fees", "quadratic_with_combo_maker_fees"]
    fee_multiplier: Decimal = Field(default=Decimal(1), ge=0, decimal_places=6)
    effective_from: datetime = datetime(1970, 1, 1, tzinfo=UTC)

    @model_validator(mode="after")
    def _one_name(self) -> Self:
        if (self.series is None) == (self.prefix is None):
            raise ValueError("give exactly one of series and prefix (prefix = '*' for all)")
        if self.effective_from.tzinfo is None:
            raise ValueError("effective_from has no zone; write it as 2025-07-01T00:00:00Z")
        return self

    @property
    def rate(self) -> int:
        """The multiplier in parts per million."""
        return int(self.fee_multiplier * RATE_SCALE)

    def fit(self, name: str) -> int:
        """Return how closely this entry speaks of a series: 0 not at all, more is closer."""
        if self.series is not None:
            return 1_000 if name == self.series else 0
        prefix = (self.prefix or "").removesuffix("*")
        return 1 + len(prefix) if name.startswith(prefix) else 0


class Mapping(_Strict):
    """A mapping file."""

    name: str | None = None
    note: str = ""
    table: tuple[Entry, ...] = Field(min_length=1)
    series: tuple[Series, ...] = ()


def read_mapping(path: Path) -> Mapping:
    """Return the mapping in a TOML file.

    Raises
    ------
    DataError
        If the file cannot be read, is no TOML, or says something a mapping cannot say.
    """
    try:
        content = tomllib.loads(path.read_text("utf-8"))
        return Mapping.model_validate(content)
    except OSError as error:
        raise DataError(f"mapping {path} cannot be read ({error.strerror})") from None
    except ValidationError as error:
        raise DataError(f"mapping {path.name}: {_explain(error, content)}") from None
    except ValueError as error:
        raise DataError(f"mapping {path.name} is no TOML: {error}") from None


def _duration(text: str) -> None:
    """Raise ValueError, as validators do, if a text is no length of time."""
    try:
        parse_duration(text)
    except UsageError as error:
        raise ValueError(str(error)) from None


def _groups(pattern: str) -> bool:
    """Return whether a pattern is valid and has a group to take."""
    try:
        pl.select(pl.lit("").str.extract(pattern, 1))
        return pl.Series([""]).str.extract_groups(pattern).struct.fields != []
    except pl.exceptions.PolarsError:
        return False


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True


def _explain(error: ValidationError, content: dict[str, Any]) -> str:
    """Return the first thing that is wrong, where, and what would be right, in one line."""
    first = error.errors()[0]
    place = [part for part in first["loc"] if part not in {"float", "str", "int", "bool"}]
    where = _where(place, content)
    if first["type"] == "extra_forbidden":
        return f"{where}: {UsageError.unknown('key', str(place[-1]), _model(place).model_fields)}"
    if first["type"] == "literal_error" and isinstance(first["input"], str):
        choices = str(first["ctx"]["expected"]).replace("' or '", "', '").strip("'").split("', '")
        return f"{where}: {UsageError.unknown('choice', first['input'], choices)}"
    if first["type"] == "missing":
        return f"{where} is missing"
    return f"{where}: {first['msg'].removeprefix('Value error, ')}".replace("\n", " ")


def _where(place: list[int | str], content: dict[str, Any]) -> str:
    """Return a place such as ``table 2 (candles), columns.time``."""
    if len(place) < 2 or not isinstance(place[1], int):
        return ".".join(str(part) for part in place)
    entry = content[str(place[0])][place[1]]
    into = entry.get("into") if isinstance(entry, dict) else None
    name = f" ({into})" if isinstance(into, str) else ""
    rest = ".".join(str(part) for part in place[2:])
    return f"{place[0]} {place[1] + 1}{name}" + (f", {rest}" if rest else "")


def _model(place: list[int | str]) -> type[BaseModel]:
    """Return the model whose key a place names."""
    if "columns" in place:
        return Column
    if "no_trade" in place:
        return NoTrade
    if "price_ranges" in place:
        return Band
    models: dict[str, type[BaseModel]] = {"table": Entry, "series": Series} if place[1:] else {}
    return models.get(str(place[0]), Mapping)
