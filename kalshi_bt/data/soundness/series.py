"""Rules on whole series, on references, on what replaced what, and on what was set aside."""

import polars as pl

from kalshi_bt.data.soundness.rows import Rows
from kalshi_bt.data.soundness.rule import Rule, View
from kalshi_bt.data.validate import show

STALE_ROWS = 60  # of a reference that moved before and after


def _fees(rows: Rows) -> pl.LazyFrame:
    """Return series of markets with when they are first needed and when their fees start."""
    since = rows.scan("series").group_by("series").agg(since=pl.col("effective_from").min())
    active = pl.concat(
        rows.scan(name).group_by("ticker").agg(first=pl.col("time").min())
        for name in ("candles", "trades")
    )
    return (
        rows.life()
        .join(active.group_by("ticker").agg(pl.col("first").min()), on="ticker", how="left")
        .group_by("series")
        .agg(pl.col("first").min(), markets=pl.len())
        .join(since, on="series", how="left")
    )


def _recorded(rows: Rows) -> pl.LazyFrame:
    """Return series with what their bars recorded of volume and quotes."""
    return (
        rows.scan("candles")
        .select("ticker", "volume", "price_close", "quote_source", "time")
        .join(rows.scan("markets").select("ticker", "series"), on="ticker")
        .group_by("series")
        .agg(
            pl.col("time").min(),
            bars=pl.len(),
            traded=(pl.col("volume") > 0).sum(),
            known=pl.col("volume").count(),
            priced=pl.col("price_close").count(),
            unquoted=(pl.col("quote_source") == "none").sum(),
        )
    )


def _stale(rows: Rows) -> pl.LazyFrame:
    """Return runs of one value of a reference, with how often that reference moves."""
    key = ["source", "symbol", "field"]
    new = pl.any_horizontal(pl.col(n).ne_missing(pl.col(n).shift()) for n in (*key, "value"))
    runs = (
        rows.scan("references")
        .filter(pl.col("value").is_not_null())
        .with_columns(run=new.fill_null(value=True).cum_sum())
        .group_by(*key, "run")
        .agg(pl.col("value", "time").first(), rows=pl.len(), until=pl.col("time").last())
    )
    usual = runs.group_by(key).agg(usual=pl.col("rows").median())
    return runs.join(usual, on=key)


def _aligned(rows: Rows) -> pl.LazyFrame:
    """Return references with the span of the dataset's bars and trades."""
    span = pl.concat(rows.scan(n).select("time") for n in ("candles", "trades")).select(
        begin=pl.col("time").min(), over=pl.col("time").max()
    )
    return (
        rows.scan("references")
        .group_by("source", "symbol", "field")
        .agg(first=pl.col("time").min(), last=pl.col("time").max())
        .join(span, how="cross")
    )


def _revised(rows: Rows) -> pl.LazyFrame:
    now = rows.scan("settlements").select("ticker", now="payout", now_result="result")
    return rows.scan("revisions").join(now, on="ticker", how="left")


FEES = View(("markets",), _fees, batched=False)
RECORDED = View(("markets", "candles"), _recorded, batched=False)
STALE = View(("references",), _stale, batched=False)
ALIGNED = View(("references",), _aligned, batched=False)
REVISED = View(("revisions",), _revised)

_known = pl.col("first").is_not_null() & pl.col("since").is_not_null()
_of_bars = pl.format("{} bars", "bars")

RULES = (
    Rule(
        "no_fees",
        "error",
        "series",
        "a series of stored markets has no fees",
        FEES,
        pl.col("since").is_null(),
        pl.format("{} markets", "markets"),
        subject="series",
        time="first",
    ),
    Rule(
        "fees_start_late",
        "error",
        "series",
        "the fees of a series start after its first bar or trade",
        FEES,
        pl.col("since") > pl.col("first"),
        show("since", "first"),
        asked=_known,
        subject="series",
        time="first",
    ),
    Rule(
        "volume_all_zero",
        "warning",
        "candles",
        "bars of a series have traded prices, but none has any volume: it was lost",
        RECORDED,
        (pl.col("traded") == 0) & (pl.col("priced") > 0),
        _of_bars,
        asked=pl.col("known") > 0,
        subject="series",
    ),
    Rule(
        "volume_not_recorded",
        "warning",
        "candles",
        "no bar of a series says its volume: how much could be traded is a guess",
        RECORDED,
        pl.col("known") == 0,
        _of_bars,
        subject="series",
    ),
    Rule(
        "quotes_not_recorded",
        "warning",
        "candles",
        "bars of a series have no recorded quotes: bid and ask are a guess",
        RECORDED,
        pl.col("unquoted") > 0,
        pl.format("{} of {} bars", "unquoted", "bars"),
        subject="series",
    ),
    Rule(
        "reference_stale",
        "warning",
        "references",
        f"a value that moves all the time stood still for {STALE_ROWS} or more rows",
        STALE,
        pl.col("rows") >= STALE_ROWS,
        pl.format("{} for {} rows until {}", "value", "rows", pl.col("until").cast(pl.String)),
        asked=pl.col("usual") <= 2,
        subject="symbol",
    ),
    Rule(
        "reference_elsewhere",
        "warning",
        "references",
        "a reference has no row while the markets traded: its times are wrong, or it is useless",
        ALIGNED,
        (pl.col("last") < pl.col("begin")) | (pl.col("first") > pl.col("over")),
        show("first", "last", "begin", "over"),
        asked=pl.col("begin").is_not_null(),
        subject="symbol",
        time="first",
    ),
    Rule(
        "payout_revised",
        "warning",
        "revisions",
        "the payout of a market was replaced by another one",
        REVISED,
        pl.col("payout") != pl.col("now"),
        show("result", "payout", "now_result", "now"),
    ),
)
