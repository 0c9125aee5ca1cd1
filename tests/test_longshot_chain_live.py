"""What the documented longshot agents are told of a market's activity, as of its close."""

from datetime import timedelta

import polars as pl

from kalshi_bt import schema
from kalshi_bt.longshot_chain import ChainRules, backtest
from kalshi_bt.longshot_chain_live import known_at_close
from tests.test_longshot_chain import NOW, lazily, one, tables

COLUMNS = {"time": schema.Time, "quantity": pl.Int64, "open_interest": pl.Int64}
TIMES = [NOW + timedelta(minutes=m) for m in (-2, 0, 1)]
BOOKS = [
    # bids, asks of YES: (price, size)
    ([(1_600, 500)], []),
    ([(1_600, 150), (1_500, 50), (1_400, 900)], [(1_700, 800)]),
    ([], [(9_000, 900), (9_100, 100)]),
]


def levels(side: list[tuple[int, int]]) -> list[dict[str, int]]:
    return [{"price": price, "size": size} for price, size in side]


def known(at: int, price: int, *, more: bool = True) -> tuple[object, ...]:
    """Volume, open interest and depth of a market that closes at one of three moments."""
    rows = [
        {"ticker": "M", "time": time, "quantity": quantity, "open_interest": interest}
        | {"bids": levels(bids), "asks": levels(asks)}
        for time, quantity, interest, (bids, asks) in zip(
            TIMES, (100, 40, 300), (49_901, None, 90_000), BOOKS, strict=True
        )
    ]
    columns = {"ticker": pl.String, **COLUMNS, "bids": schema.Levels, "asks": schema.Levels}
    frame = pl.DataFrame(rows, schema=columns).lazy()
    seen = one("M", price).with_columns(time=pl.lit(TIMES[at]).cast(schema.Time))
    others = (frame, frame) if more else ()
    return known_at_close(seen, frame, *others).drop("ticker").row(0)


def test_what_is_known_at_a_close_is_what_was_recorded_up_to_it() -> None:
    # NO at 85 c is bought of those who bid 15 c or more for YES.
    assert known(0, 15) == (1, 499, 5)
    assert known(1, 15) == (2, 499, 2)
    assert known(2, 15) == (5, 900, 0)
    # YES at 90 c of those who ask 90 c or less.
    assert [known(at, 90)[2] for at in (0, 1, 2)] == [0, 8, 9]
    assert known(1, 15, more=False) == (2, None, None)


def test_a_book_that_is_not_known_offers_what_nobody_knows() -> None:
    books = pl.DataFrame(
        {"ticker": ["M"], "time": [NOW], "bids": [None], "asks": [None]},
        schema={"ticker": pl.String, "time": schema.Time, "bids": schema.Levels}
        | {"asks": schema.Levels},
    )
    trades = schema.TRADES.empty().lazy()
    found = known_at_close(one("M"), trades, None, books.lazy())
    assert found.drop("ticker").row(0) == (0, None, None)


def test_a_later_agent_buys_nothing_where_nothing_was_offered() -> None:
    """Rule D, by the books of a dataset; and its bouncer, by the open interest of its candles."""
    rows = [(f"KXNBAGAME-{i}-A", "no" if i else "yes", [(1500, -1)] * 30) for i in range(12)]
    markets, settlements, trades = tables(rows)
    ends = settlements.select("ticker", time="close_time").sort("ticker")
    empty = pl.Series([[]] * 12, dtype=schema.Levels)
    bids = pl.Series([levels([(1_500, 10)])] * 11 + [[]], dtype=schema.Levels)
    books = ends.with_columns(bids=bids, asks=empty)
    candles = ends.with_columns(open_interest=pl.Series([9_999] + [10_000] * 10 + [50_000]))
    done = backtest(
        *lazily((markets, settlements, trades)),
        rules=ChainRules.later(),
        candles=candles.lazy(),
        books=books.lazy(),
    )
    found = {row["ticker"]: row for row in done.decisions.to_dicts()}
    first, last = ends["ticker"][0], ends["ticker"][11]
    assert found.pop(first)["status"] == "BOUNCED"
    assert found.pop(last)["veto_reason"] == "rule D: nothing offered at the price"
    # 100 contracts open suffice for the bouncer, and not for the critic.
    assert {row["veto_reason"] for row in found.values()} == {"open interest too small"}
