"""Quotes told by trades, against a reading of one trade after the other."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import hypothesis.strategies as st
import polars as pl
import pytest
from hypothesis import given, settings
from panel_rows import NOON, Row, at, filled, market, trade

from kalshi_bt import schema
from kalshi_bt.data.proxy import MAX_AGE, bars_from_trades, quotes_from_trades
from kalshi_bt.data.synthetic import sample

TAPERED = [
    {"start": 0, "end": 1_000, "step": 10},
    {"start": 1_000, "end": 9_000, "step": 100},
    {"start": 9_000, "end": 10_000, "step": 10},
]
MANY = settings(max_examples=60, deadline=None)
MINUTE = timedelta(minutes=1)
PRICES = (1, 10, 55, 100, 990, 1_000, 1_010, 1_100, 4_000, 4_050, 8_900, 9_000, 9_010, 9_900, 9_990)
Side = tuple[int, datetime]


def tape(rows: Sequence[Row]) -> pl.DataFrame:
    return filled(schema.TRADES, rows).sort(schema.TRADES.key)


def told(*rows: Row, markets: Sequence[Row] = (), **options: Any) -> list[Any]:
    listed = filled(schema.MARKETS, markets)
    return quotes_from_trades(tape(rows), listed, **options)["bid", "ask"].rows()


def bars(*rows: Row, seconds: int = 60, **options: Any) -> list[Row]:
    made = bars_from_trades(tape(rows), schema.MARKETS.empty(), seconds, **options)
    return schema.CANDLES.check(made).to_dicts()


# --- a plain reading ------------------------------------------------------------------------------


def levels(ranges: list[dict[str, int]] | None) -> list[int]:
    """Every price of a grid at which somebody can quote."""
    found = set()
    for r in ranges or [{"start": 0, "end": 10_000, "step": 100}]:
        found |= set(range(r["start"], r["end"] + 1, r["step"]))
    return sorted(found - {0, 10_000})


def standing(
    bid: Side | None, ask: Side | None, now: datetime, max_age: timedelta
) -> tuple[int | None, int | None]:
    """The two sides that are young enough at a moment."""
    b = bid[0] if bid and now - bid[1] <= max_age else None
    a = ask[0] if ask and now - ask[1] <= max_age else None
    return b, a


def pushed(
    sides: tuple[int | None, int | None], newest: int, grid: list[int]
) -> tuple[int | None, int | None]:
    """The two sides, the older one pushed away where they meet."""
    bid, ask = sides
    if bid is None or ask is None or bid < ask:
        return bid, ask
    if newest > 0:
        return max((p for p in grid if p < ask), default=None), ask
    return bid, min((p for p in grid if p > bid), default=None)


def one_by_one(rows: pl.DataFrame, grids: dict[str, list[int]], max_age: timedelta) -> list[Row]:
    """Each trade with the quotes after it, and a way to ask for those of a later moment."""
    state: dict[str, dict[int, Side]] = {}
    found = []
    for row in rows.to_dicts():
        mine = state.setdefault(row["ticker"], {})
        mine[row["taker_side"]] = (row["price"], row["time"])
        bid, ask, grid = mine.get(-1), mine.get(1), grids[row["ticker"]]

        def then(
            moment: datetime,
            bid: Side | None = bid,
            ask: Side | None = ask,
            side: int = row["taker_side"],
            grid: list[int] = grid,
        ) -> tuple[int | None, int | None]:
            return pushed(standing(bid, ask, moment, max_age), side, grid)

        found.append(row | {"then": then, "quote": then(row["time"])})
    return found


def slow_bars(read: list[Row], length: timedelta) -> list[Row]:
    grouped: dict[tuple[str, datetime], list[Row]] = {}
    for row in read:
        end = NOON - timedelta(hours=12)
        while end < row["time"]:
            end += length
        grouped.setdefault((row["ticker"], end), []).append(row)
    made = []
    for (ticker, end), rows in grouped.items():
        prices = [row["price"] for row in rows]
        bar = {"ticker": ticker, "time": end, "volume": sum(row["quantity"] for row in rows)}
        bar |= dict(
            zip(
                [f"price_{p}" for p in schema.OHLC],
                (prices[0], max(prices), min(prices), prices[-1]),
                strict=True,
            )
        )
        for n, side in enumerate(("bid", "ask")):
            seen = [row["quote"][n] for row in rows] + [rows[-1]["then"](end)[n]]
            known = [price for price in seen if price is not None]
            parts = (seen[0], max(known, default=None), min(known, default=None), seen[-1])
            bar |= {f"{side}_{p}": v for p, v in zip(schema.OHLC, parts, strict=True)}
        made.append(bar)
    return made


@st.composite
def tapes(draw: st.DrawFn) -> tuple[list[Row], dict[str, Any]]:
    """Few markets, few prices and few seconds, so that sides meet, age and share their times."""
    grids = {t: draw(st.sampled_from([None, TAPERED])) for t in ("KXA-1-A", "KXA-1-B", "KXB-1-A")}
    count = draw(st.integers(0, 25))
    rows = [
        trade(
            draw(st.sampled_from(sorted(grids))),
            draw(st.integers(0, 40)) / 4,
            draw(st.sampled_from(PRICES)),
            draw(st.sampled_from((-1, 1))),
            number,
            quantity=draw(st.integers(1, 10_000)),
        )
        for number in draw(st.permutations(range(count)))
    ]
    return rows, grids


@pytest.mark.slow
@MANY
@given(tapes(), st.sampled_from((0, 15, 60, 150, 86_400)), st.sampled_from((15, 60, 300)))
def test_quotes_and_bars_are_those_of_a_plain_reading(
    case: tuple[list[Row], dict[str, Any]], age: int, seconds: int
) -> None:
    rows, grids = case
    trades, max_age = tape(rows), timedelta(seconds=age)
    # A market that is not listed trades in whole cents.
    listed = [market(t, price_ranges=grid) for t, grid in grids.items() if grid or t != "KXB-1-A"]
    markets = filled(schema.MARKETS, listed)
    read = one_by_one(trades, {t: levels(grid) for t, grid in grids.items()}, max_age)
    found = quotes_from_trades(trades, markets, max_age=max_age)
    assert found["bid", "ask"].rows() == [row["quote"] for row in read]
    assert found["ticker", "time", "trade_id"].equals(trades["ticker", "time", "trade_id"])
    made = bars_from_trades(trades, markets, seconds, max_age=max_age)
    expected = slow_bars(read, timedelta(seconds=seconds))
    constant = {"period": seconds, "quote_source": "trades", "open_interest": None}
    constant |= {"bid_size": None, "ask_size": None}
    wanted = filled(schema.CANDLES, [row | constant for row in expected])
    assert made.equals(wanted.sort(schema.CANDLES.key))


@pytest.mark.slow
@MANY
@given(tapes())
def test_the_order_in_which_trades_arrive_changes_nothing(case: tuple[list[Row], Any]) -> None:
    rows, _ = case
    nothing = schema.MARKETS.empty()
    made = bars_from_trades(tape(rows), nothing, 60)
    assert made.equals(bars_from_trades(tape(rows[::-1]), nothing, 60))


@pytest.mark.slow
@MANY
@given(tapes(), st.integers(0, 10))
def test_later_trades_change_no_earlier_quote(case: tuple[list[Row], Any], minute: int) -> None:
    rows, _ = case
    markets = schema.MARKETS.empty()
    early = [row for row in rows if row["time"] <= at(minute)]
    past, whole = (quotes_from_trades(tape(r), markets) for r in (early, rows))
    assert past.equals(whole.filter(pl.col("time") <= at(minute)))
    past, whole = (bars_from_trades(tape(r), markets, 60) for r in (early, rows))
    assert past.equals(whole.filter(pl.col("time") <= at(minute)))


# --- by hand --------------------------------------------------------------------------------------


def test_takers_of_yes_tell_the_ask_and_takers_of_no_the_bid() -> None:
    rows = [trade("KXA-1-A", 1, 5_200, 1), trade("KXA-1-A", 2, 4_800, -1)]
    assert told(*rows, trade("KXA-1-A", 3, 5_300, 1)) == [
        (None, 5_200),
        (4_800, 5_200),
        (4_800, 5_300),
    ]


def test_the_newer_side_pushes_the_older_one_a_tick_away() -> None:
    rows = [trade("KXA-1-A", 1, 5_200, 1), trade("KXA-1-A", 2, 5_500, -1)]
    assert told(*rows) == [(None, 5_200), (5_500, 5_600)]
    # What was pushed away is not remembered: the bid comes back, and so does the ask that traded.
    assert told(*rows, trade("KXA-1-A", 3, 5_100, -1))[-1] == (5_100, 5_200)
    assert told(*rows, trade("KXA-1-A", 3, 5_500, 1))[-1] == (5_400, 5_500)


@pytest.mark.parametrize(
    ("price", "side", "quote"),
    [
        (1_000, 1, (990, 1_000)),  # the grid is finer below a dime
        (1_000, -1, (1_000, 1_100)),
        (9_000, 1, (8_900, 9_000)),
        (9_000, -1, (9_000, 9_010)),
        (10, 1, (None, 10)),  # nobody bids nothing
        (9_990, -1, (9_990, None)),  # nobody asks a dollar
        (4_050, 1, (4_000, 4_050)),  # off the grid: the next price on it
        (4_050, -1, (4_050, 4_100)),
    ],
)
def test_a_tick_is_that_of_the_markets_grid(price: int, side: int, quote: tuple[int, int]) -> None:
    older = trade("KXA-1-A", 1, 9_999 if side > 0 else 1, -side)
    listed = [market("KXA-1-A", price_ranges=TAPERED)]
    assert told(older, trade("KXA-1-A", 2, price, side), markets=listed)[-1] == quote


def test_trades_of_one_time_count_in_the_order_of_their_identifiers() -> None:
    up, down = trade("KXA-1-A", 1, 5_000, 1, 7), trade("KXA-1-A", 1, 5_000, -1, 8)
    assert told(down, up) == told(up, down) == [(None, 5_000), (5_000, 5_100)]


def test_a_side_is_forgotten_when_it_is_older_than_allowed() -> None:
    rows = [trade("KXA-1-A", 1, 5_200, 1), trade("KXA-1-A", 3, 4_800, -1)]
    assert told(*rows, max_age=2 * MINUTE)[-1] == (4_800, 5_200)  # exactly that old
    just = 2 * MINUTE - timedelta(microseconds=1)
    assert told(*rows, max_age=just)[-1] == (4_800, None)
    assert timedelta(hours=1) == MAX_AGE
    ages = quotes_from_trades(tape(rows), schema.MARKETS.empty())["bid_age", "ask_age"].rows()
    assert ages == [(None, timedelta(0)), (timedelta(0), 2 * MINUTE)]


def test_one_market_tells_nothing_of_the_next() -> None:
    assert told(trade("KXA-1-A", 9, 5_200, 1), trade("KXA-1-B", 1, 300, -1))[-1] == (300, None)


def test_a_bar_opens_with_its_first_trade_and_closes_with_what_is_not_too_old() -> None:
    """At the start of the second bar nobody offers at 50 any more, as far as one can tell."""
    rows = [
        trade("KXA-1-A", 0.5, 5_000, 1),
        trade("KXA-1-A", 1.5, 6_000, 1),
        trade("KXA-1-A", 1.75, 5_800, -1),
    ]
    first, second = bars(*rows, max_age=timedelta(seconds=20))
    assert [second[f"ask_{p}"] for p in schema.OHLC] == [6_000, 6_000, 6_000, None]
    assert [second[f"bid_{p}"] for p in schema.OHLC] == [None, 5_800, 5_800, 5_800]
    assert [second[f"price_{p}"] for p in schema.OHLC] == [6_000, 6_000, 5_800, 5_800]
    assert (first["time"], first["ask_close"], second["time"]) == (at(1), None, at(2))


def test_a_trade_at_the_end_of_a_bar_belongs_to_it_and_quiet_bars_are_not_made() -> None:
    late = trade("KXA-1-A", 1, 5_100, 1, time=at(1) + timedelta(microseconds=1))
    made = bars(trade("KXA-1-A", 1, 5_000, 1), late, trade("KXA-1-A", 7.5, 5_200, 1))
    assert [(row["time"], row["price_close"]) for row in made] == [
        (at(1), 5_000),
        (at(2), 5_100),
        (at(8), 5_200),
    ]


def test_bars_of_the_samples_trades_are_its_candles() -> None:
    """Prices and volume to the last digit; and the last trade is one side of the book."""
    tables = sample(days=1)
    made = bars_from_trades(tables["trades"], tables["markets"], 60)
    traded = tables["candles"].filter(pl.col("price_open").is_not_null())
    names = ["ticker", "period", "time", *(f"price_{p}" for p in schema.OHLC), "volume"]
    assert made.select(names).equals(traded.select(names))
    assert made.select((pl.col("ask_close") > pl.col("bid_close")).all()).item()
    sides = [pl.col(f"{side}_close") == pl.col("price_close") for side in ("bid", "ask")]
    assert made.select(pl.any_horizontal(sides).all()).item()
