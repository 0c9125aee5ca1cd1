"""Changes that break one rule each of the audit on bars, and what all cases share."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl
from soundness_dataset import (
    FIRST,
    GAME,
    MINUTE,
    Change,
    Tables,
    both,
    copy,
    ladder,
    put,
    utc,
    without,
)

from kalshi_bt import schema

WARM, MIDDLE, COLD = (f"{ladder(5)}-{end}" for end in ("T41", "B40.5", "T40"))
EVER = pl.lit(value=True)
ticker, time, event = pl.col("ticker"), pl.col("time"), pl.col("event")
result, period = pl.col("result"), pl.col("period")
OLD = datetime(1999, 1, 1, tzinfo=utc(1, 0).tzinfo)


def at(name: str, moment: datetime) -> pl.Expr:
    return (ticker == name) & (time == moment)


@dataclass(frozen=True)
class Case:
    """A change, and what the rule then finds: how many rows, in which market, and who else."""

    change: Change
    count: int
    subject: str | None
    companions: tuple[str, ...] = ()


NOON, LAST = utc(4, 20), utc(6, 5)  # a bar, and the last bar, of the ladder
BAR = at(WARM, NOON)
TEN = at(FIRST, utc(5, 15, 10))  # a minute of the first quarter hour
DEAL = at(FIRST, utc(5, 15, 9, 20))
TRADED = ("candles volume_is_not_traded", "candles prices_are_not_traded")


def late(table: str, **values: Any) -> Change:
    return copy(table, EVER & (time == time.max()), **values)


def frozen(tables: Tables) -> None:
    """Nine hours of one quote; in two of them something else was traded."""
    run = (ticker == WARM) & time.is_between(utc(4, 18), utc(5, 2))
    for part in schema.OHLC:
        put("candles", run, **{f"bid_{part}": 2_000, f"ask_{part}": 2_200})(tables)
    for hour, price in ((19, 1_900), (23, 2_300)):
        cells = {f"price_{part}": price for part in schema.OHLC}
        put("candles", at(WARM, utc(4, hour)), **cells)(tables)


def still(tables: Tables) -> None:
    """Forty-eight bars of one minute after another, in which nothing moves."""
    bar = tables["candles"].filter(at(f"{GAME}-AAA", utc(5, 20)))
    flat = [
        bar.with_columns(period=pl.lit(60, pl.Int32), time=time - n * MINUTE) for n in range(48)
    ]
    joined = pl.concat([tables["candles"], *flat])
    tables["candles"] = joined.sort(schema.CANDLES.key)


def quarters(**values: Any) -> Change:
    return put("settlements", ticker == FIRST, **values)


def ladders(days: tuple[int, ...], **values: Any) -> Change:
    return put("markets", event.is_in([ladder(day) for day in days]), **values)


BARS: dict[str, Case] = {
    # --- candles
    "candles null_key": Case(
        put("candles", BAR, ticker=None),
        1,
        None,
        ("candles unknown_ticker", "candles gap_while_open"),
    ),
    "candles null_value": Case(put("candles", BAR, quote_source=None), 1, WARM),
    "candles time_range": Case(
        copy("candles", at(WARM, NOON), time=OLD),
        1,
        WARM,
        ("candles bar_before_open", "candles gap_while_open", "series fees_start_late"),
    ),
    "candles bad_period": Case(
        copy("candles", BAR, period=0),
        1,
        WARM,
        ("candles bars_start_late", "candles bars_end_early"),
    ),
    "candles price_range": Case(
        put("candles", TEN, ask_high=10_010), 1, FIRST, ("candles off_market_grid",)
    ),
    "candles trade_at_limit": Case(
        put("candles", TEN, price_high=10_000),
        1,
        FIRST,
        ("candles price_outside_quotes", "candles prices_are_not_traded"),
    ),
    "candles quote_at_limit": Case(
        put("candles", BAR, bid_high=10_000), 1, WARM, ("candles crossed",)
    ),
    "candles partial_price": Case(put("candles", BAR, price_open=None), 1, WARM),
    "candles ohlc_disorder": Case(put("candles", BAR, bid_low=2_200), 1, WARM),
    "candles crossed": Case(put("candles", BAR, bid_high=2_400), 1, WARM),
    "candles negative_quantity": Case(put("candles", BAR, open_interest=-1), 1, WARM),
    "candles unknown_ticker": Case(
        without("markets", ticker == MIDDLE),
        38,
        MIDDLE,
        ("settlements unknown_ticker",),
    ),
    "candles off_market_grid": Case(put("candles", BAR, ask_high=2_350), 1, WARM),
    "candles price_without_volume": Case(put("candles", BAR, volume=0), 1, WARM),
    "candles volume_without_price": Case(
        put("candles", BAR, **dict.fromkeys((f"price_{p}" for p in schema.OHLC), None)), 1, WARM
    ),
    "candles price_outside_quotes": Case(put("candles", BAR, price_high=2_600), 1, WARM),
    "candles end_off_period": Case(
        put("candles", BAR, time=time + pl.duration(minutes=1)),
        1,
        WARM,
    ),
    "candles open_interest_jump": Case(put("candles", TEN, open_interest=90_000), 1, FIRST),
    "candles gap_while_open": Case(without("candles", BAR), 1, WARM),
    "candles quotes_frozen": Case(frozen, 1, WARM),
    "candles quotes_unchanged": Case(still, 1, f"{GAME}-AAA", ("candles bars_start_late",)),
    "candles bar_repeated": Case(
        both(
            without("candles", at(FIRST, utc(5, 15, 12))),
            without("trades", (ticker == FIRST) & (time > utc(5, 15, 9))),
            copy("candles", TEN, time=utc(5, 15, 12)),
        ),
        1,
        FIRST,
    ),
    "candles periods_disagree": Case(
        put("candles", at(COLD, utc(4, 20)) & (period == 7_200), volume=2_000), 1, COLD
    ),
    "candles bar_in_two_periods": Case(
        both(
            without("candles", at(COLD, utc(4, 19)) & (period == 3_600)),
            put(
                "candles",
                at(COLD, utc(4, 20)),
                volume=10_000,
                price_open=2_100,
                price_low=2_100,
                price_high=2_200,
                price_close=2_200,
            ),
        ),
        1,
        COLD,
        ("candles gap_while_open",),
    ),
    "candles volume_is_not_traded": Case(put("candles", TEN, volume=20_001), 1, FIRST),
    "candles prices_are_not_traded": Case(
        put("candles", TEN, price_high=5_100, price_close=5_100), 1, FIRST
    ),
    "candles bar_before_open": Case(
        copy("candles", at(WARM, utc(4, 16)), time=utc(4, 15)), 1, WARM
    ),
    "candles bar_after_close": Case(
        copy(
            "candles",
            at(WARM, LAST),
            time=utc(6, 6),
            volume=0,
            **dict.fromkeys((f"price_{p}" for p in schema.OHLC), None),
        ),
        1,
        WARM,
    ),
    "candles bar_over_close": Case(
        put("settlements", ticker == WARM, close_time=LAST - MINUTE), 1, WARM
    ),
    "candles volume_after_close": Case(
        copy("candles", at(WARM, LAST), time=utc(6, 6)), 1, WARM, ("candles bar_after_close",)
    ),
    "candles volume_after_payout": Case(
        copy("candles", at(WARM, LAST), time=utc(6, 7)),
        1,
        WARM,
        (
            "candles bar_after_close",
            "candles volume_after_close",
        ),
    ),
    "candles bars_start_late": Case(
        without("candles", (ticker == WARM) & (time < utc(4, 20))), 1, WARM
    ),
    "candles bars_end_early": Case(
        without("candles", (ticker == WARM) & (time > utc(6, 1))), 1, WARM
    ),
    "candles volume_all_zero": Case(
        put("candles", ticker.str.starts_with("KXLOW"), volume=0),
        1,
        "KXLOW",
        ("candles price_without_volume",),
    ),
    "candles volume_not_recorded": Case(
        put("candles", ticker.str.starts_with("KXLOW"), volume=None), 1, "KXLOW"
    ),
    "candles quotes_not_recorded": Case(
        put(
            "candles",
            BAR,
            quote_source="none",
            **{f"{s}_{p}": None for s in ("bid", "ask") for p in schema.OHLC},
        ),
        1,
        "KXLOW",
    ),
}
