"""Rules on bars: what of a bar, of its neighbours and of bars of other lengths cannot be."""

import polars as pl

from kalshi_bt.data.soundness.rows import Rows
from kalshi_bt.data.soundness.rule import Rule, View
from kalshi_bt.data.validate import show
from kalshi_bt.schema import OHLC
from kalshi_bt.units import PRICE_SCALE

TOLERANCE = 100  # centi-cents a trade may lie outside the quotes of its bar
FROZEN_BARS = 5  # a run of bars with the same quotes is looked at from here on
UNCHANGED_BARS = 48  # without a trade either, it was probably filled in
TELLING = 10_000  # centi-contracts in a bar that, with a range of prices, seldom come twice
COPIES = 3  # bars without open interest that say the same with the same lag: no chance
_HOUR = 3_600
_QUOTES = [f"{side}_{part}" for side in ("bid", "ask") for part in OHLC]
_PRICES = [f"price_{part}" for part in OHLC]


def _neighbours(rows: Rows) -> pl.LazyFrame:
    """Return bars with the one before of the same market and length."""
    same = (pl.col("ticker") == pl.col("ticker").shift()) & (
        pl.col("period") == pl.col("period").shift()
    )
    before = {"before": "time", "interest_before": "open_interest"}
    life = rows.life().select("ticker", "open_time", "close", "paid")
    bid, ask = pl.col("bid_low").fill_null(0), pl.col("ask_high").fill_null(PRICE_SCALE)
    length = pl.duration(seconds="period")
    micro = pl.col("period").cast(pl.Int64) * 1_000_000
    return (
        rows.scan("candles")
        .with_columns(
            pl.when(same).then(pl.col(column).shift()).alias(name)
            for name, column in before.items()
        )
        .join(life, on="ticker", how="left", maintain_order="left")
        .with_columns(
            low_quote=bid,
            high_quote=ask,
            start=pl.col("time") - length,
            missing=(pl.col("time") - pl.col("before")).dt.total_microseconds() // micro - 1,
        )
    )


BARS = View(("candles",), _neighbours)

_recorded = pl.col("quote_source").is_in(["candle", "book"])
_traded = pl.col("price_close").is_not_null()
_volume = pl.col("volume")

_SINGLE = (
    Rule(
        "price_without_volume",
        "warning",
        "candles",
        "a bar without volume has traded prices: probably those of an earlier trade",
        BARS,
        (_volume == 0) & _traded,
        show("price_close", "volume"),
        asked=_volume.is_not_null(),
    ),
    Rule(
        "volume_without_price",
        "warning",
        "candles",
        "a bar with volume has no traded prices",
        BARS,
        ~_traded,
        show("price_close", "volume"),
        asked=_volume > 0,
    ),
    Rule(
        "price_outside_quotes",
        "warning",
        "candles",
        "a trade was more than a cent outside all quotes of its bar",
        BARS,
        (pl.col("price_high") > pl.col("high_quote") + TOLERANCE)
        | (pl.col("price_low") < pl.col("low_quote") - TOLERANCE),
        show("price_low", "price_high", "bid_low", "ask_high"),
        asked=_recorded & _traded,
    ),
    Rule(
        "end_off_period",
        "warning",
        "candles",
        "a bar does not end on a multiple of its length: its times are shifted or not bar ends",
        BARS,
        pl.col("time").dt.epoch("us") % (pl.col("period").cast(pl.Int64) * 1_000_000) != 0,
        show("time", "period"),
        asked=(pl.col("period") > 0) & (_HOUR % pl.col("period") == 0),
    ),
    Rule(
        "open_interest_jump",
        "warning",
        "candles",
        "open interest grew by more than the volume of the bar",
        BARS,
        pl.col("open_interest") - pl.col("interest_before") > _volume,
        show("interest_before", "open_interest", "volume"),
        asked=(pl.col("missing") == 0)
        & pl.all_horizontal(
            pl.col(name).is_not_null() for name in ("interest_before", "open_interest", "volume")
        ),
    ),
    Rule(
        "gap_while_open",
        "note",
        "candles",
        "bars are missing between two of a market that was open (without activity there is none)",
        BARS,
        pl.col("missing") > 0,
        pl.format("{} bars missing since {}", "missing", pl.col("before").cast(pl.String)),
        asked=pl.col("before").is_not_null() & (pl.col("start") < pl.col("close")).fill_null(True),
    ),
)


# --- several bars ---------------------------------------------------------------------------------


def _runs(rows: Rows) -> pl.LazyFrame:
    """Return the runs of bars of a market in which no quote changed at all."""
    ends = ["bid_close", "ask_close"]
    key = ["ticker", "period", *ends]
    flat = pl.all_horizontal(
        pl.col(f"{side}_{part}").eq_missing(pl.col(f"{side}_close"))
        for side in ("bid", "ask")
        for part in ("open", "high", "low")
    )
    new = pl.any_horizontal(pl.col(n).ne_missing(pl.col(n).shift()) for n in key)
    # A bar that is not flat is counted too, so that it parts the runs on either side of it.
    return (
        rows.scan("candles")
        .filter(pl.col("quote_source").is_in(["candle", "book"]))
        .with_columns(flat=flat, run=(~flat | new.fill_null(value=True)).cum_sum())
        .filter(pl.col("flat"))
        .group_by("run")
        .agg(
            pl.col("ticker", "time", *ends).first(),
            bars=pl.len(),
            until=pl.col("time").last(),
            low=pl.col("price_low").min(),
            high=pl.col("price_high").max(),
            volume=_volume.sum(),
        )
        .filter(pl.col("bars") >= FROZEN_BARS, pl.all_horizontal(pl.col(ends).is_not_null()))
    )


RUNS = View(("candles",), _runs)
_span = pl.format(
    "bid={} ask={} in {} bars until {}, trades {} to {}",
    "bid_close",
    "ask_close",
    "bars",
    pl.col("until").cast(pl.String),
    pl.col("low").cast(pl.String).fill_null("-"),
    pl.col("high").cast(pl.String).fill_null("-"),
)

_NEIGHBOURS = (
    Rule(
        "quotes_frozen",
        "warning",
        "candles",
        f"no quote changed in {FROZEN_BARS} or more bars while trades moved beyond the spread",
        RUNS,
        pl.col("high").cast(pl.Int32) - pl.col("low")
        > pl.col("ask_close").cast(pl.Int32) - pl.col("bid_close") + TOLERANCE,
        _span,
        asked=pl.col("low").is_not_null(),
    ),
    Rule(
        "quotes_unchanged",
        "warning",
        "candles",
        f"neither a quote nor a trade in {UNCHANGED_BARS} or more recorded bars: filled in",
        RUNS,
        (pl.col("bars") >= UNCHANGED_BARS) & (_volume == 0),
        _span,
    ),
)


def _repeats(rows: Rows) -> pl.LazyFrame:
    """Return what telling bars say, when it was said again, and how many bars share that lag.

    Of bars with open interest one copy is told from chance; of others only several with one lag.
    """
    telling = (_volume >= TELLING) & (pl.col("price_high") > pl.col("price_low"))
    said = ["ticker", "period", *_PRICES, *_QUOTES, "volume", "open_interest"]
    same = ["ticker", "period", "lag"]
    return (
        rows.scan("candles")
        .filter(telling)
        .group_by(said)
        .agg(pl.col("time").min(), lag=pl.col("time").sort().diff().drop_nulls())
        .explode("lag", empty_as_null=True)
        .with_columns(lag=pl.col("lag").dt.total_seconds())
        .with_columns(alike=pl.when(pl.col("lag").is_not_null()).then(pl.len().over(same)))
        .with_columns(
            copied=(pl.col("alike") >= COPIES)
            | (pl.col("lag").is_not_null() & pl.col("open_interest").is_not_null())
        )
    )


REPEATS = View(("candles",), _repeats)


def _pairs(rows: Rows) -> pl.LazyFrame:
    """Return long bars with what the short ones inside them add up to."""
    bars = rows.scan("candles")
    periods = bars.select(pl.col("period").unique()).collect()["period"].sort().to_list()
    short = bars.select("ticker", "period", "time", "volume", *_PRICES)
    found = [
        _inside(short.filter(pl.col("period") == small), bars.filter(pl.col("period") == big))
        for big in periods
        for small in periods
        if 0 < small < big and big % small == 0
    ]
    return pl.concat(found) if found else _inside(short.clear(), bars.clear())


def _inside(short: pl.LazyFrame, long: pl.LazyFrame) -> pl.LazyFrame:
    length = pl.col("period").cast(pl.Int64) * 1_000_000
    big = long.select("ticker", "period", "time", *_PRICES, "volume")
    last = big.select("ticker", "time", "period", end="time").unique(["ticker", "time"])
    sums = (
        short.sort("time")
        .rename({"period": "short"})
        .join_asof(
            last.sort("time"), on="time", by="ticker", strategy="forward", check_sortedness=False
        )
        .filter(pl.col("end").dt.epoch("us") - pl.col("time").dt.epoch("us") < length)
        .group_by("ticker", "end")
        .agg(
            pl.col("short").first(),
            pl.col(_PRICES).first().name.prefix("short_"),
            total=pl.col("volume").sum(),
            bars=pl.len(),
        )
    )
    return big.join(sums, left_on=["ticker", "time"], right_on=["ticker", "end"])


PAIRS = View(("candles",), _pairs)

_TOGETHER = (
    Rule(
        "bar_repeated",
        "warning",
        "candles",
        "a bar says exactly what an earlier one of its market said: it is a shifted copy",
        REPEATS,
        pl.col("copied"),
        pl.format("again {} s later: volume={}, price_close={}", "lag", "volume", "price_close"),
    ),
    Rule(
        "periods_disagree",
        "warning",
        "candles",
        "the volume of a bar is not what the shorter bars inside it add up to",
        PAIRS,
        pl.col("total") != _volume,
        pl.format("period={} volume={}, {} bars of {} s sum to {}",
                  "period", "volume", "bars", "short", "total"),
        asked=_volume.is_not_null(),
    ),
    Rule(
        "bar_in_two_periods",
        "warning",
        "candles",
        "the only short bar inside a long one says the same as it: the long one is stored twice",
        PAIRS,
        (pl.col("total") == _volume)
        & pl.all_horizontal(pl.col(n) == pl.col(f"short_{n}") for n in _PRICES),
        show("period", "short", "volume", "price_low", "price_high"),
        asked=(pl.col("bars") == 1)
        & (_volume >= TELLING)
        & (pl.col("price_high") > pl.col("price_low")),
    ),
)  # fmt: skip

RULES = (*_SINGLE, *_NEIGHBOURS, *_TOGETHER)
