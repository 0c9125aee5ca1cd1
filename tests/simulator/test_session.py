"""A session that is fed moment by moment does what the walk of the whole panel does."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from one_case import tape_of
from strategies_random import Case, cases, random_case, seeded
from strategies_random_books import book_cases, random_book_case

from kalshi_bt import schema
from kalshi_bt.errors import DataError, UsageError
from kalshi_bt.fees import market_rates
from kalshi_bt.schema import BOOKS, TRADES
from kalshi_bt.simulator.assumptions import FILLS, Rules
from kalshi_bt.simulator.leaving import Gone
from kalshi_bt.simulator.ledger import closed_trades, equity_curve
from kalshi_bt.simulator.session import Session
from kalshi_bt.simulator.simulate import Simulation, simulate
from live_adapter.checkpoint import packed, unpacked

# The kernels of a session take half a minute to compile; the default suite has its doctest.
pytestmark = pytest.mark.slow
FEATURES = (None, "pauses", "passive", "random", "collateral", "netting", "settlement")


def recorded(case: Case) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The books and trades of a case, none where it has bars."""
    if case.books is None or case.trades is None:
        return BOOKS.empty(), TRADES.empty()
    return case.books, case.trades


def moments(case: Case, *, coarse: bool = False) -> list[datetime]:
    """Every time at which something becomes known; `coarse`: books wait until something else is."""
    times = set(case.bars["time"]) | set(case.intents["time"]) | set(case.settlements["time"])
    times |= set(case.settlements["close_time"])
    rows = set[datetime]().union(*(frame["time"] for frame in recorded(case)))
    times |= {max(rows)} if coarse and rows else rows
    return sorted(times | set(() if case.determinations is None else case.determinations["time"]))


def rates_of(case: Case) -> Any:
    numbers = case.markets.select("ticker").with_row_index("old")

    def rates(markets: pl.DataFrame) -> pl.DataFrame:
        mine = markets.select("ticker").with_row_index("new").join(numbers, on="ticker")
        told = case.rates.join(mine, left_on="market", right_on="old").drop("ticker", "market")
        return told.rename({"new": "market"}).sort("market", "from_time")

    return rates


def fed(
    case: Case, rng: np.random.Generator | None = None, *, coarse: bool = False
) -> tuple[Session, Simulation]:
    """Feed a case; with `rng` events are listed when they first have a bar, and at random moments
    a new session is told all of it again, as after a restart."""
    named = pl.lit(pl.Series(case.markets["ticker"], dtype=pl.String)).gather(pl.col("market"))
    bars, intents = case.bars.with_columns(ticker=named), case.intents.with_columns(ticker=named)
    session, told = Session(case.rules, rates_of(case)), []
    before = datetime(1970, 1, 1, tzinfo=UTC)
    for time in moments(case, coarse=coarse):
        now = bars.filter(pl.col("time") == time)
        rows = [frame.filter(pl.col("time") <= time) for frame in recorded(case)]
        heard = (bars.filter(pl.col("time") <= time), *rows)
        begun = pl.concat([frame.select("ticker") for frame in heard])["ticker"].implode()
        fresh = [frame.filter(pl.col("time") > before) for frame in rows]
        events = case.markets.filter(pl.col("ticker").is_in(begun))["event"].implode()
        listed = case.markets if rng is None else case.markets.filter(pl.col("event").is_in(events))
        known = pl.col("ticker").is_in(listed["ticker"].implode())
        # Of a market that is listed after it closed this is told then.
        ended = case.settlements.filter(known, pl.col("close_time") <= time)
        # That a market goes on beyond its schedule is announced before it does.
        schedule = listed.select("ticker", scheduled="close_time")
        extended = case.settlements.join(schedule, on="ticker").filter(
            pl.col("close_time") > pl.col("scheduled")
        )
        ended = pl.concat([ended, extended.drop("scheduled")])
        steps: list[tuple[str, Any]] = [
            *([("list_markets", listed)] if listed.height else []),
            ("add_bars", now),
            ("close", dict(ended.select("ticker", "close_time").iter_rows())),
            ("settle", case.settlements.filter(known, pl.col("time") <= time)),
            *([] if case.books is None else [("add_books", fresh)]),
            ("advance", time),
            ("ask", intents.filter(pl.col("time") == time).drop("market")),
        ]
        if case.determinations is not None:
            said = case.determinations.filter(known, pl.col("time") <= time)
            steps.insert(2, ("determine", said))
        if not listed.height:
            continue
        before = time
        told += steps
        if rng is not None and rng.random() < 0.1:
            session, steps = Session(case.rules, rates_of(case)), told
        for method, what in steps:
            getattr(session, method)(*(what if method == "add_books" else [what]))
    return session, session.end()


def agree(case: Case, rng: np.random.Generator | None = None, *, coarse: bool = False) -> None:
    tape = tape_of(case)
    whole = simulate(tape, case.intents, case.rules)
    _, piecewise = fed(case, rng, coarse=coarse)
    assert piecewise.orders.equals(whole.orders)
    assert piecewise.fills.equals(whole.fills)
    assert closed_trades(piecewise.tape, piecewise).equals(closed_trades(tape, whole))
    if rng is None and len(tape.time):
        curves = (
            equity_curve(t, r, case.rules.cash)
            for t, r in ((tape, whole), (piecewise.tape, piecewise))
        )
        first, second = curves
        assert second.equity.equals(first.equity)


def forgetful(case: Case, rng: np.random.Generator) -> tuple[Simulation, list[Gone]]:
    """Feed a case to a session that lets go now and then, and goes on from its state on disk."""
    named = pl.lit(pl.Series(case.markets["ticker"], dtype=pl.String)).gather(pl.col("market"))
    bars, intents = case.bars.with_columns(ticker=named), case.intents.with_columns(ticker=named)
    session, left, over = Session(case.rules, rates_of(case)), [], set[str]()
    rows, fresh = (bars, *recorded(case)), pl.lit(value=True)
    for time in moments(case):
        later = pl.col("time") > time
        begun = pl.concat([f.filter(~later).select("ticker") for f in rows])["ticker"].implode()
        events = case.markets.filter(pl.col("ticker").is_in(begun))["event"].implode()
        mine = ~pl.col("ticker").is_in(list(over))
        listed = case.markets.filter(pl.col("event").is_in(events), mine)
        known = pl.col("ticker").is_in(listed["ticker"].implode())
        paid = case.settlements.filter(known)
        schedule = listed.select("ticker", scheduled="close_time")
        ends = paid.join(schedule, on="ticker").filter(
            (pl.col("close_time") <= time) | (pl.col("close_time") > pl.col("scheduled"))
        )
        if listed.height:
            session.list_markets(listed)
        session.add_bars(bars.filter(pl.col("time") == time, known))
        session.close(dict(ends.select("ticker", "close_time").iter_rows()))
        if case.determinations is not None:
            session.determine(case.determinations.filter(known, ~later))
        session.settle(paid.filter(~later))
        if case.books is not None and listed.height:
            session.add_books(*(frame.filter(fresh, ~later, known) for frame in rows[1:]))
            fresh = later
        session.advance(time)
        session.ask(intents.filter(pl.col("time") == time).drop("market"))
        if rng.random() < 0.4:
            before = set(session.tickers)
            coming = pl.concat([frame.filter(later)["ticker"] for frame in (*rows, intents)])
            left.append(session.let_go(coming.unique()))
            over |= before - set(session.tickers)
        if rng.random() < 0.3:
            kept = packed(session.state())
            session = Session(case.rules, rates_of(case))
            session.restore(unpacked(kept))
    return session.end(), left


def listed_by_ticker(case: Case) -> Case:
    """The case with its markets in the order of their tickers, as a panel has them."""
    order = case.markets["ticker"].arg_sort()
    number = pl.lit(order.arg_sort().cast(pl.UInt32)).gather(pl.col("market")).alias("market")
    return replace(
        case,
        markets=case.markets.sort("ticker"),
        bars=case.bars.with_columns(number).sort("market", "time"),
        rates=case.rates.with_columns(number.cast(case.rates.schema["market"])).sort(
            "market", "from_time"
        ),
        intents=case.intents.with_columns(number).sort("time", "market"),
    )


@pytest.mark.parametrize("feature", FEATURES)
def test_a_session_equals_the_walk(feature: str | None) -> None:
    for seed in range(2):
        agree(listed_by_ticker(random_case(seeded(seed), feature=feature)))


@pytest.mark.parametrize("feature", FEATURES)
def test_late_listing_and_restarts_change_nothing(feature: str | None) -> None:
    for seed in range(100, 102):
        case = random_case(seeded(seed), markets=5, bars=16, feature=feature)
        agree(listed_by_ticker(case), seeded(seed))


def deep_cases(seeds: range) -> list[Case]:
    """Cases in which takers walk recorded depth."""
    drawn = [random_book_case(seeded(seed), markets=4, bars=16) for seed in seeds]
    return [case for case in drawn if case.rules.fill.book]


@pytest.mark.parametrize("coarse", [False, True])
def test_a_session_walks_recorded_depth(*, coarse: bool) -> None:
    for seed, case in enumerate(deep_cases(range(6))):
        agree(listed_by_ticker(case), coarse=coarse)
        agree(listed_by_ticker(case), seeded(seed), coarse=coarse)


@settings(max_examples=30, deadline=None)
@given(book_cases(markets=3).filter(lambda case: case.rules.fill.book and case.intents.height))
def test_any_session_walks_recorded_depth(case: Case) -> None:
    agree(listed_by_ticker(case))
    agree(listed_by_ticker(case), seeded(0), coarse=True)


@settings(max_examples=50, deadline=None)
@given(cases())
def test_any_session_equals_the_walk(case: Case) -> None:
    agree(listed_by_ticker(case))
    agree(listed_by_ticker(case), seeded(0))


def released(case: Case, seed: int) -> int:
    """Let go and go on from a state, and demand the same; return how many fills were let go."""
    case = listed_by_ticker(case)
    tape = tape_of(case)
    whole = simulate(tape, case.intents, case.rules)
    run, left = forgetful(case, seeded(seed))
    orders = pl.concat([part.orders for part in left] + [run.orders])
    fills = pl.concat([part.fills for part in left] + [run.fills])
    trades = pl.concat([part.trades for part in left] + [closed_trades(run.tape, run)])
    assert orders.sort("order_id").equals(whole.orders)
    assert fills.sort("order_id", "seq").equals(whole.fills)
    assert trades.sort("trade_id").equals(closed_trades(tape, whole))
    return sum(part.fills.height for part in left)


@pytest.mark.parametrize("feature", FEATURES)
def test_letting_go_and_going_on_from_a_state_change_nothing(feature: str | None) -> None:
    went = 0
    for seed in range(200, 203):
        case = random_case(seeded(seed), markets=5, bars=16, feature=feature)
        went += released(case, seed)
    assert went  # else nothing was let go


def test_letting_go_of_recorded_depth_changes_nothing() -> None:
    assert sum(released(case, seed) for seed, case in enumerate(deep_cases(range(300, 306))))


def test_markets_that_nobody_asks_for_keep_two_bars() -> None:
    case = listed_by_ticker(random_case(seeded(7), markets=4, bars=16))
    session, _ = fed(replace(case, intents=case.intents.clear()))
    assert session.so_far().tape.time.shape[0] <= 2 * case.markets.height


def test_what_is_held_and_its_worth_are_told_at_every_moment() -> None:
    case = listed_by_ticker(random_case(seeded(3), feature="netting"))
    session, run = fed(case)
    curve = equity_curve(run.tape, run, case.rules.cash).equity
    assert session.cash == curve["cash"][-1]
    signed = run.fills.group_by("ticker").agg(pl.col("quantity").sum())
    signed = signed.filter(pl.col("quantity") != 0).sort("ticker")
    held = session.held.select("ticker", quantity=pl.col("quantity") * pl.col("side"))
    assert held.rows() == signed.rows()


def test_nothing_is_lent_any_more_once_a_market_that_excludes_nothing_is_listed() -> None:
    """A NO of each of two exclusive markets pays a dollar at least, as long as all exclude."""
    at = datetime(2026, 6, 1, 12, tzinfo=UTC)
    markets = pl.DataFrame(
        {
            "ticker": ["M0", "M1", "M2"],
            "event": "E",
            "series": "S",
            "close_time": at.replace(hour=20),
            "mutually_exclusive": [True, True, False],
            "strike_type": None,
            "floor_strike": None,
        },
        schema_overrides={
            "close_time": schema.Time, "strike_type": pl.String, "floor_strike": pl.Float64,
        },
    )  # fmt: skip
    series = pl.DataFrame(
        {"series": ["S"], "effective_from": [at], "fee_type": ["quadratic"], "fee_multiplier": [0]}
    )
    rules = Rules(fill=FILLS["naive"], collateral=True, cash=1_000_000_000)
    session = Session(rules, lambda known: market_rates(known, series))
    session.list_markets(markets.head(2))
    quotes = {
        f"{side}_{part}": p for part in schema.OHLC for side, p in (("bid", 100), ("ask", 200))
    }
    for n, time in enumerate((at, at.replace(minute=1), at.replace(minute=2))):
        if n == 1:
            session.list_markets(markets)
        rows = {"ticker": ["M0", "M1", "M2"][: 2 + (n > 0)], "time": time, **quotes}
        bars = pl.DataFrame(rows)
        absent = [c for c in schema.BARS.columns if c not in (*bars.columns, "market")]
        types = {c: t for c, t in schema.BARS.columns.items() if c != "market"}
        bars = bars.with_columns(*(pl.lit(None).alias(c) for c in absent)).cast(types)
        session.add_bars(bars)
        session.advance(time)
        if n == 0:
            session.ask(sold(["M0", "M1"], time, 100_00))
        credit = int(session._memory.arrays["account"]["credit"][0])
        assert credit == (100_00 * 10_000 if n == 0 else 0)


def sold(tickers: list[str], time: datetime, quantity: int) -> pl.DataFrame:
    rows = {"ticker": tickers, "time": time, "side": -1, "kind": "ioc", "limit": 100}
    rows |= {"quantity": quantity, "valid_bars": 1}
    absent = (c for c in schema.INTENTS.columns if c not in (*rows, "market"))
    types = {c: t for c, t in schema.INTENTS.columns.items() if c != "market"}
    frame = pl.DataFrame(rows).with_columns(*(pl.lit(None).alias(c) for c in absent))
    return frame.select("ticker", *types).cast(types)  # type: ignore[arg-type]


def test_unknown_markets_and_depth_that_is_not_walked_are_refused() -> None:
    case = listed_by_ticker(random_case(seeded(1)))
    session = Session(Rules(), rates_of(case))
    session.list_markets(case.markets)
    with pytest.raises(UsageError, match="needs fills by book"):
        session.add_books(BOOKS.empty(), TRADES.empty())
    stranger = case.bars.head(1).with_columns(ticker=pl.lit("KXNONE-A"))
    with pytest.raises(DataError, match="KXNONE-A is not listed"):
        session.add_bars(stranger)


def test_an_intent_needs_a_bar_that_ends_then() -> None:
    case = listed_by_ticker(random_case(seeded(1)))
    session = Session(Rules(), rates_of(case))
    session.list_markets(case.markets)
    first = case.bars["time"].min()
    assert isinstance(first, datetime)
    session.advance(first)
    intent = case.intents.head(1).with_columns(ticker=pl.lit(case.markets["ticker"][0]))
    with pytest.raises(DataError, match="has no bar at"):
        session.ask(intent.drop("market"))


def test_a_session_without_a_market_has_its_cash() -> None:
    session = Session(Rules(cash=7_000_000), rates_of(random_case(seeded(1))))
    session.advance(datetime(2026, 6, 1, tzinfo=UTC))
    assert (session.cash, session.equity) == (7_000_000, 7_000_000)
