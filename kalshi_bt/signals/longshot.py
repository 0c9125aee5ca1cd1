"""The longshot bias: what favourites paid beyond their price, learned from settled markets only."""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from typing import ClassVar, Literal, Self

import polars as pl

from kalshi_bt.errors import DataError, UsageError
from kalshi_bt.schema import SIGNALS
from kalshi_bt.signals import check_parameters, parameter
from kalshi_bt.signals.expr import require
from kalshi_bt.signals.longshot_cells import CENTS, cent_of, cut, dense, limits, place_of
from kalshi_bt.signals.longshot_table import TABLE, VISITS, both, first_visits, recalibrated, tables
from kalshi_bt.units import over

ADDED = ("fair", "confidence")
SIDES = {"yes": 1, "no": -1}
_HOUR = 3_600_000_000  # microseconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Longshot:
    """The price of a favourite, corrected by what favourites at that price have paid.

    Who bets against a longshot buys a favourite: NO where YES is cheap, YES where it is dear. For
    each side whose price lies from `min_price` to `max_price`, with gap g and standard error s of
    its cell (group, band, side, cent) from n events,

        p = price + g·w,  error of p = s·√w,  w = n/(n + kappa),

    as after a normal prior at the price that is worth kappa events: little data leaves the price as
    it is. There is an opinion where p - z·error - price - fee > 0, on the side with the larger such
    edge. Unfitted: none.

    Parameters
    ----------
    group, series, hours, interest
        Which markets share a table, and which have one.
    min_price, max_price, min_depth, price
        Which sides are looked at, and what they cost.
    unit, method, bandwidth, kappa
        How the table is estimated.
    gate, z, fee_rate, min_visits, min_gap, stated
        What is worth an opinion, and how it is stated.
    calibration
        The fitted table.

    Raises
    ------
    UsageError
        If a parameter is out of range, or a list of numbers or a pattern cannot be read.

    Notes
    -----
    `fair` is p for YES and 1 - p for NO. `confidence` is Φ((p - price - fee)/error) at the cell's
    cent: how sure a profit is, were the error normal. Tables come from decision rows of settled
    markets, through `samples` and `fit`; `refits` walks forward. Their errors are clustered by
    event: events that end together and alike (coins of one quarter hour) need a table each, or the
    errors are too small. At z = 1 up to one idle cell in six would pass without a fee: raise it
    where many cells are tried.

    Not here: the stake, a cap on contracts, and the rules by game (no second position and at most
    so much money in one game), which depend on what is held. Of these only the last, no order
    where nobody offers anything, is known to the quotes: `min_depth`.

    References
    ----------
    R. H. Thaler and W. T. Ziemba, Anomalies: Parimutuel Betting Markets: Racetracks and Lotteries,
    Journal of Economic Perspectives 2, 1988, doi:10.1257/jep.2.2.161.

    Examples
    --------
    >>> Longshot().lookback, Longshot().table.height
    (1, 0)
    >>> Longshot.reference().series
    'NBA'
    """

    reads: ClassVar[tuple[str, ...]] = (  # of quotes
        *("ticker", "time", "event", "series", "close_time", "strike_type"),
        *("close", "bid", "ask", "volume", "open_interest", "bid_size", "ask_size"),
    )
    group: Literal["all", "series", "strike_type"] = parameter(
        "series", "what the markets of one table have in common"
    )
    series: str | None = parameter(
        None, "pattern that a series must contain (regular expression); none for every series"
    )
    hours: str = parameter("", "limits of bands by hours to the scheduled close, such as 1,24")
    interest: str = parameter("", "limits of bands by open interest, contracts, such as 100,10000")
    min_price: float = parameter(0.80, "least price of a side, dollars", 0.005, 0.995)
    max_price: float = parameter(0.99, "largest price of a side, dollars", 0.005, 0.995)
    min_depth: float = parameter(1.0, "least contracts on offer where their number is known", 0)
    price: Literal["quote", "trade"] = parameter(
        "quote", "what a side costs: the quote it can be bought at, or the last trade of the bar"
    )
    unit: Literal["event", "market", "trade", "contract"] = parameter(
        "event", "what counts once in a cell; the last two repeat one outcome many times"
    )
    method: Literal["cell", "logit"] = parameter(
        "cell", "mean of each cell, or one logistic curve through all cents of a group and side"
    )
    bandwidth: int = parameter(2, "cents to either side that count towards a cell", 0, 20)
    kappa: float = parameter(200.0, "events that the price itself is worth", 0)
    gate: Literal["net", "gross", "none"] = parameter(
        "net", "edge after fee and error; or the documented gap and sample size; or nothing"
    )
    z: float = parameter(1.0, "standard errors taken off the edge", 0, 10)
    fee_rate: float = parameter(0.07, "fee of a contract at price p is this times p(1 - p)", 0, 1)
    min_visits: int = parameter(200, "least visits of a cell (gate gross)", 0)
    min_gap: float = parameter(0.008, "gap to exceed, dollars (gate gross)", 0, 1)
    stated: Literal["estimate", "bound"] = parameter(
        "estimate", "whether fair is the estimate, or lies z standard errors nearer to the price"
    )
    calibration: str = parameter("", "the fitted table as JSON rows; empty before fit")

    def __post_init__(self) -> None:
        check_parameters(self)
        for name in ("hours", "interest"):
            limits(f"Longshot.{name}", getattr(self, name))
        if self.min_price > self.max_price:
            raise UsageError(
                f"Longshot.min_price is {self.min_price}; expected at most max_price, "
                f"{self.max_price}"
            )
        try:
            re.compile(self.series or "")
        except re.error as error:
            raise UsageError(f"Longshot.series is {self.series!r}: {error}") from None

    @classmethod
    def reference(cls) -> Self:
        """Return the documented rule: trades at exact cents, no fee, no error, gap and size only.

        The documented table also holds the outcomes of the markets it is applied to; this signal
        has only what it is fitted with.
        """
        return cls(
            group="all", series="NBA", price="trade", unit="trade", bandwidth=0, kappa=0, z=0,
            fee_rate=0, gate="gross", min_depth=0,
        )  # fmt: skip

    @property
    def lookback(self) -> int:
        """Bars per market that suffice for the newest value."""
        return 1

    @property
    def table(self) -> pl.DataFrame:
        """The fitted table (`longshot_table.TABLE`), a row a cell; none before `fit`."""
        rows = json.loads(self.calibration) if self.calibration else []
        return pl.DataFrame(rows, schema=TABLE, orient="row")

    def __call__(self, quotes: pl.LazyFrame) -> pl.LazyFrame:
        """Return `quotes` with fair and confidence added; null where there is no opinion.

        Parameters
        ----------
        quotes : polars.LazyFrame
            Rows of `schema.QUOTES`, in any order.

        Raises
        ------
        DataError
            If a column is missing.
        """
        require(quotes, self.reads, "longshot")
        table = self.table
        if table.is_empty():
            return quotes.with_columns(pl.lit(None, SIGNALS[name]).alias(name) for name in ADDED)
        table = _judged(table, self)
        groups = table["group"].unique().sort().to_list()
        keys = {"group": _group(self, groups), "band": self._band()}
        marked = quotes.with_columns(expr.alias(f"@{name}") for name, expr in keys.items())
        cells = dense(table, groups, self._bands)
        for name, sign in SIDES.items():
            marked = _with_side(marked, name, sign, cells, self)
        better = pl.col("@yes_edge").fill_null(-1.0) >= pl.col("@no_edge").fill_null(-1.0)
        told = pl.max_horizontal("@yes_edge", "@no_edge").is_not_null()
        fair = pl.when(better).then("@yes_fair").otherwise(1 - pl.col("@no_fair"))
        sure = pl.when(better).then("@yes_confidence").otherwise("@no_confidence")
        made = marked.with_columns(
            fair=pl.when(told).then(fair), confidence=pl.when(told).then(sure)
        )
        return made.select(*quotes.collect_schema().names(), *ADDED)

    def samples(self, quotes: pl.LazyFrame) -> pl.LazyFrame:
        """Return the visits of quotes to cells that enter a history, one row a visit and side.

        Parameters
        ----------
        quotes : polars.LazyFrame
            Rows of `schema.QUOTES`; all that there are, because whether a visit is the first one
            depends on earlier rows (and on nothing later).

        Returns
        -------
        polars.LazyFrame
            `longshot_table.VISITS`. Join `payout` (dollars of one YES) and `known_at` by ticker to
            make a history.

        Raises
        ------
        DataError
            If a column is missing.
        """
        require(quotes, self.reads, "longshot")
        reach = 0.01 * self.bandwidth if self.method == "cell" else 1.0
        sides = []
        for name, sign in SIDES.items():
            cost = self._cost(name)
            wanted = cost.is_between(self.min_price - reach, self.max_price + reach)
            sides.append(
                quotes.filter(self._named() & wanted).select(
                    pl.col("ticker").cast(pl.String),
                    "time",
                    "event",
                    group=_label(self),
                    band=self._band(),
                    side=pl.lit(sign, pl.Int8),
                    cent=cent_of(cost),
                    cost=cost,
                    volume=pl.col("volume"),
                )
            )
        inside = pl.col("cent").is_between(1, 99) & pl.col("group").is_not_null()
        return first_visits(pl.concat(sides).filter(inside), self.unit)

    def together(self, earlier: pl.DataFrame, later: pl.DataFrame) -> pl.DataFrame:
        """Return the visits that enter a history of earlier and later quotes.

        Parameters
        ----------
        earlier, later : frames of `longshot_table.VISITS`
            As `samples` returns them of either; none of `later` came before one of `earlier`.
        """
        return both(earlier, later, self.unit)

    def fit(self, history: pl.LazyFrame) -> Self:
        """Return the signal with the table of a history; every row of it is used.

        Parameters
        ----------
        history : polars.LazyFrame
            Rows of `samples` with `payout` (dollars of one YES, 0 to 1). Only rows whose payout was
            known before the fit may be in it.

        Raises
        ------
        DataError
            If a column is missing, or a payout is null or outside 0 to 1.
        """
        return self._with(self._tables(_checked(history), None)[0])

    def refits(
        self, history: pl.LazyFrame, times: Sequence[datetime]
    ) -> tuple[tuple[datetime, Self], ...]:
        """Return (time, signal) for each time, fitted with what was known before that time.

        Parameters
        ----------
        history : polars.LazyFrame
            As for `fit`, with `known_at` (when the payout was known) and rows of all times.
        times : sequence of datetime
            Rising.

        Raises
        ------
        DataError
            As for `fit`.
        UsageError
            If the times do not rise.
        """
        if any(late <= early for early, late in pairwise(times)):
            raise UsageError("the times of refits do not rise; sort them and drop repeated ones")
        found = self._tables(_checked(history, "known_at"), times)
        return tuple((time, self._with(table)) for time, table in zip(times, found, strict=True))

    def _tables(
        self, history: pl.DataFrame, times: Sequence[datetime] | None
    ) -> list[pl.DataFrame]:
        if self.method == "cell":
            return tables(history, self.bandwidth, times)
        if times is None:
            return [recalibrated(history)]
        return [recalibrated(history.filter(pl.col("known_at") < time)) for time in times]

    def _with(self, table: pl.DataFrame) -> Self:
        price = over(pl.col("cent"), CENTS)
        asked = table.filter(price.is_between(self.min_price - 0.005, self.max_price + 0.005))
        rows = [list(row) for row in asked.iter_rows()]
        return replace(self, calibration=json.dumps(rows, separators=(",", ":")) if rows else "")

    def _named(self) -> pl.Expr:
        if self.series is None:
            return pl.lit(True)
        return pl.col("series").cast(pl.String).str.contains(self.series)

    def _cost(self, side: str) -> pl.Expr:
        """Return what a contract of a side costs, dollars, on the grid of 0.0001."""
        if self.price == "trade":
            return pl.col("close") if side == "yes" else (1 - pl.col("close")).round(4)
        return pl.col("ask") if side == "yes" else (1 - pl.col("bid")).round(4)

    @property
    def _bands(self) -> int:
        """How many bands there are, those of what is not known included."""
        count = 1
        for name in ("hours", "interest"):
            edges = limits(name, getattr(self, name))
            count *= len(edges) + 2 if edges else 1
        return count

    def _band(self) -> pl.Expr:
        left = over((pl.col("close_time") - pl.col("time")).dt.total_microseconds(), _HOUR)
        by_time, _ = cut(left, limits("hours", self.hours))
        by_interest, width = cut(pl.col("open_interest"), limits("interest", self.interest))
        return (by_time * width + by_interest).cast(pl.Int32)


def _label(signal: Longshot) -> pl.Expr:
    """Return the group of a row as text."""
    if signal.group == "all":
        return pl.lit("all")
    return pl.col(signal.group).cast(pl.String)


def _group(signal: Longshot, groups: list[str]) -> pl.Expr:
    """Return the place of a row's group in the list; null without a table for it."""
    places = {name: place for place, name in enumerate(groups)}
    place = _label(signal).replace_strict(places, default=None, return_dtype=pl.Int32)
    return pl.when(signal._named()).then(place)  # noqa: SLF001 - the same module


def _judged(table: pl.DataFrame, signal: Longshot) -> pl.DataFrame:
    """Return the table with shift (of the price) and its error, and how sure a profit is."""
    weight = pl.col("events") / (pl.col("events") + signal.kappa)
    price = over(pl.col("cent"), CENTS)
    found = table.with_columns(shift=pl.col("gap") * weight, error=pl.col("error") * weight.sqrt())
    edge = pl.col("shift") - signal.fee_rate * price * (1 - price)
    score = found.select(edge / pl.col("error")).to_series().to_list()
    chance = [0.5 * math.erfc(-s / math.sqrt(2)) if math.isfinite(s) else None for s in score]
    return found.with_columns(confidence=pl.Series(chance, dtype=pl.Float64))


def _with_side(
    quotes: pl.LazyFrame, name: str, sign: int, cells: dict[str, pl.Series], signal: Longshot
) -> pl.LazyFrame:
    """Return quotes with edge (null: no opinion), fair (of the side) and confidence of a side."""
    cost, size = signal._cost(name), pl.col("ask_size" if sign > 0 else "bid_size")  # noqa: SLF001
    offered = size.is_null() | (size >= signal.min_depth)
    priced = cost.is_between(signal.min_price, signal.max_price) & cent_of(cost).is_between(1, 99)
    asked = priced & offered
    place = place_of(
        pl.col("@group"), pl.col("@band"), pl.lit(sign), cent_of(cost), signal._bands  # noqa: SLF001
    )  # fmt: skip
    found = quotes.with_columns(pl.when(asked).then(place).alias("@at"), cost.alias("@cost"))
    found = found.with_columns(
        pl.lit(column).gather(pl.col("@at")).alias(f"@{key}") for key, column in cells.items()
    )
    paid, error = pl.col("@cost"), pl.col("@error")
    edge = pl.col("@shift") - signal.fee_rate * paid * (1 - paid)
    bound = edge - signal.z * error
    gates = {
        "net": bound > 0,
        "gross": (pl.col("@visits") >= signal.min_visits) & (pl.col("@gap") > signal.min_gap),
        "none": bound.is_not_null(),
    }
    shift = pl.col("@shift")
    if signal.stated == "bound":  # towards the price, and not past it
        toward = (shift.abs() - signal.z * error).clip(0)
        shift = pl.when(shift < 0).then(-toward).otherwise(toward)
    return found.with_columns(
        pl.when(gates[signal.gate]).then(bound).alias(f"@{name}_edge"),
        (paid + shift).clip(0, 1).alias(f"@{name}_fair"),
        pl.col("@confidence").alias(f"@{name}_confidence"),
    )


def _checked(history: pl.LazyFrame, *more: str) -> pl.DataFrame:
    """Return a history whose payouts can be used."""
    columns = [*VISITS, "payout", *more]
    schema = history.collect_schema()
    for name in columns:
        if name not in schema:
            raise DataError(f"the history lacks {name!r}, needed by longshot; join it by ticker")
    # Sums of floats depend on their order, and a table should not on that of its rows.
    found = history.select(columns).sort("ticker", "time", "side").collect()
    wrong = found.filter(~pl.col("payout").is_between(0, 1).fill_null(value=False))
    if wrong.height:
        row = wrong.row(0, named=True)
        raise DataError(
            f"the history says payout {row['payout']} for {row['ticker']}; expected 0 to 1 dollar"
        )
    return found
