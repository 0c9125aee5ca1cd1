"""Rules on the life of markets: rows before the open, after the close or payout, or never."""

import polars as pl

from kalshi_bt.data.soundness.bars import BARS
from kalshi_bt.data.soundness.rows import Rows
from kalshi_bt.data.soundness.rule import Rule, Severity, View
from kalshi_bt.data.validate import show

UNSETTLED_DAYS = 7
LATE_DAYS = 30
_DATED = ("candles", "trades", "books")


def _timed(table: str) -> View:
    """Return rows with the life of their market."""

    def rows_of(rows: Rows) -> pl.LazyFrame:
        life = rows.life().select("ticker", "open_time", "close", "ended", "paid")
        return rows.scan(table).join(life, on="ticker", how="left", maintain_order="left")

    return View((table,), rows_of)


def _lives(rows: Rows) -> pl.LazyFrame:
    """Return markets with their first and last row of any kind."""
    seen = pl.concat(
        rows.scan(name)
        .group_by("ticker")
        .agg(first=pl.col("time").min(), last=pl.col("time").max())
        for name in _DATED
    )
    spans = seen.group_by("ticker").agg(pl.col("first").min(), pl.col("last").max())
    over = pl.coalesce("close", "last")
    return (
        rows.life()
        .join(spans, on="ticker", how="left")
        .with_columns(over=over, age=pl.lit(rows.end, dtype=pl.Datetime("us", "UTC")) - over)
    )


def _covered(rows: Rows) -> pl.LazyFrame:
    """Return the life of markets of which there are bars, and how much of it the bars cover."""
    spans = (
        rows.scan("candles")
        .group_by("ticker", "period")
        .agg(first=pl.col("time").min(), last=pl.col("time").max(), bars=pl.len())
    )
    least = pl.duration(seconds=pl.col("period").cast(pl.Int64) * 2)
    life = pl.col("close") - pl.col("open_time")
    return (
        rows.life()
        .join(spans, on="ticker")
        .with_columns(slack=pl.max_horizontal(least, life / 10))
        .with_columns(
            late=pl.col("first") - pl.duration(seconds="period") - pl.col("open_time"),
            early=pl.col("close") - pl.col("last"),
        )
    )


TRADE_TIMES, BOOK_TIMES = _timed("trades"), _timed("books")
SETTLED = _timed("settlements")
LIVES = View(("markets",), _lives)
COVERED = View(("markets", "candles"), _covered)

_time, _open, _close, _start = (pl.col(n) for n in ("time", "open_time", "close", "start"))
_past = pl.col("volume") > 0

_BARS = (
    Rule(
        "bar_before_open",
        "error",
        "candles",
        "a bar ends before its market opens, or is labelled by its start",
        BARS,
        _time <= _open,
        show("open_time"),
        asked=_open.is_not_null(),
    ),
    Rule(
        "bar_after_close",
        "warning",
        "candles",
        "a bar begins at or after the close of its market",
        BARS,
        _start >= _close,
        show("close"),
        asked=_close.is_not_null(),
    ),
    Rule(
        "bar_over_close",
        "note",
        "candles",
        "a bar begins before and ends after the close of its market: it knows of the end",
        BARS,
        (_start < _close) & (_time > _close),
        show("close"),
        asked=_close.is_not_null(),
    ),
    Rule(
        "volume_after_close",
        "warning",
        "candles",
        "a bar with volume begins at or after the close of its market",
        BARS,
        _start >= _close,
        show("close", "volume"),
        asked=_past & _close.is_not_null(),
    ),
    Rule(
        "volume_after_payout",
        "error",
        "candles",
        "a bar with volume begins at or after the payout of its market: it was known too early",
        BARS,
        _start >= pl.col("paid"),
        show("paid", "volume"),
        asked=_past & pl.col("paid").is_not_null(),
    ),
)


def _late_rows(table: str, view: View) -> tuple[Rule, ...]:
    """Return the rules on single moments."""
    one = "a trade" if table == "trades" else "a book"
    limits: tuple[tuple[str, Severity, pl.Expr, str, str], ...] = (
        ("before_open", "error", _time < _open, "open_time", "before its market opens"),
        ("after_close", "warning", _time > _close, "close", "after the close of its market"),
        ("after_payout", "error", _time > pl.col("paid"), "paid", "after the payout was known"),
    )
    return tuple(
        Rule(
            name,
            level,
            table,
            f"{one} {what}",
            view,
            fails,
            show(limit),
            asked=pl.col(limit).is_not_null(),
        )
        for name, level, fails, limit, what in limits
    )


_SETTLEMENTS = (
    Rule(
        "closed_before_open",
        "error",
        "settlements",
        "trading ended before the market opened",
        SETTLED,
        pl.col("ended") <= _open,
        show("open_time", "ended"),
        asked=_open.is_not_null(),
        time="paid",
    ),
    Rule(
        "closed_late",
        "warning",
        "settlements",
        "trading ended after the scheduled close, or the schedule was moved back later",
        LIVES,
        pl.col("ended") > pl.col("close_time"),
        show("close_time", "ended"),
        asked=pl.col("ended").is_not_null() & pl.col("close_time").is_not_null(),
        time="ended",
    ),
    Rule(
        "paid_late",
        "warning",
        "settlements",
        f"the payout came more than {LATE_DAYS} days after the close",
        SETTLED,
        pl.col("paid") - pl.col("ended") > pl.duration(days=LATE_DAYS),
        show("ended", "paid"),
        time="paid",
    ),
    Rule(
        "unsettled",
        "warning",
        "settlements",
        f"a market has no settlement {UNSETTLED_DAYS} days after its close (or last row)",
        LIVES,
        pl.col("paid").is_null(),
        show("over"),
        asked=pl.col("age") > pl.duration(days=UNSETTLED_DAYS),
        time="over",
    ),
)

_MARKETS = (
    Rule(
        "close_is_outcome",
        "warning",
        "markets",
        "the scheduled close is no whole minute: it is when trading ended, not known before",
        LIVES,
        pl.col("close_time").dt.epoch("us") % 60_000_000 != 0,
        show("close_time"),
        asked=pl.col("age") >= pl.duration(),
        time="close_time",
    ),
    Rule(
        "market_without_rows",
        "note",
        "markets",
        "a market has neither bars nor trades nor books",
        LIVES,
        pl.col("last").is_null(),
        show("open_time", "close"),
        time="close",
    ),
    Rule(
        "bars_start_late",
        "note",
        "candles",
        "the first bar comes after a tenth of the market's life",
        COVERED,
        pl.col("late") > pl.col("slack"),
        show("period", "open_time", "first"),
        asked=pl.col("late").is_not_null() & pl.col("slack").is_not_null(),
        time="first",
    ),
    Rule(
        "bars_end_early",
        "note",
        "candles",
        "the last bar ends before the last tenth of the market's life",
        COVERED,
        pl.col("early") > pl.col("slack"),
        show("period", "last", "close"),
        asked=pl.col("ended").is_not_null() & pl.col("slack").is_not_null(),
        time="last",
    ),
)

RULES = (
    *_BARS,
    *_late_rows("trades", TRADE_TIMES),
    *_late_rows("books", BOOK_TIMES),
    *_SETTLEMENTS,
    *_MARKETS,
)
