"""The compiled walk against the plain one, and what must hold of any run whatever the rules."""

from collections import Counter
from dataclasses import replace
from typing import Any

import naive
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from one_case import met_exactly, mirrored, played, walked
from strategies_random import Case, cases, random_case, seeded
from strategies_random_books import book_cases, random_book_case

from kalshi_bt.simulator.ledger import closed_trades, equity_curve

# What cases are about, and how many of them are compared: 2 300 in all, of which the first blocks
# always and the others as `slow`, and there ten times as many again.
# "quotes" is a mix of everything that bars can tell.
MANY = {
    "quotes": 450,
    "pauses": 150,
    "passive": 250,
    "random": 150,
    "collateral": 250,
    "netting": 350,
    "settlement": 150,
    "breakers": 150,
    "balances": 150,
    "books": 250,
}
BLOCK, ALWAYS = 50, 1


def drawn(feature: str, seed: int) -> Case:
    if feature == "books":
        return random_book_case(seeded(seed))
    return random_case(seeded(seed), feature=None if feature == "quotes" else feature)


def plain(frame: pl.DataFrame) -> list[dict[str, object]]:
    columns = {c.name: (c.to_physical() if c.name == "time" else c).to_list() for c in frame}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def differs(case: Case) -> str | None:
    slowly = played(case)
    fills = sorted(slowly.fills, key=lambda fill: (fill["order_id"], fill["seq"]))
    _, run = walked(case)
    for slow, fast in (
        *zip(slowly.orders, plain(run.orders), strict=True),
        *zip(fills, plain(run.fills.drop("source")), strict=False),
    ):
        if slow != fast:
            return f"oracle {slow}\nwalk   {fast}"
    return None if len(fills) == run.fills.height else "different number of fills"


@settings(deadline=None)
@given(cases())
def test_walk_equals_oracle(case: Case) -> None:
    assert differs(case) is None


@settings(deadline=None)
@given(book_cases())
def test_walk_equals_oracle_on_recorded_books(case: Case) -> None:
    assert differs(case) is None


def blocks() -> list[Any]:
    return [
        pytest.param(feature, n, marks=pytest.mark.slow if n >= ALWAYS else ())
        for feature, many in MANY.items()
        for n in range(many // BLOCK)
    ]


@pytest.mark.parametrize(("feature", "block"), blocks())
def test_walk_equals_oracle_on_thousands_of_cases(feature: str, block: int) -> None:
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        found = differs(drawn(feature, seed))
        assert found is None, f"{feature}, seed {seed}: {found}"


@pytest.mark.slow
@pytest.mark.parametrize("feature", MANY)
def test_walk_equals_oracle_on_many_more_cases(feature: str) -> None:
    for seed in range(1_000_000, 1_000_000 + 10 * MANY[feature]):
        found = differs(drawn(feature, seed))
        assert found is None, f"{feature}, seed {seed}: {found}"


@pytest.mark.slow
def test_walk_equals_oracle_where_limits_are_met_exactly() -> None:
    for seed in range(200):
        rng = seeded(seed)
        found = differs(met_exactly(random_case(rng, feature="breakers"), rng))
        assert found is None, f"seed {seed}: {found}"


@settings(deadline=None)
@given(cases())
def test_fills_replay_to_cash_positions_and_equity(case: Case) -> None:
    tape, run = walked(case)
    fills = plain(run.fills)
    held = Counter[str]()
    for fill in fills:
        held[fill["ticker"]] += fill["quantity"]
    curve = equity_curve(tape, run, case.rules.cash)
    assert curve.equity["cash"][-1] == naive.replay_cash(case.rules.cash, fills)
    assert curve.unsettled == sum(1 for quantity in held.values() if quantity)
    settled = set(case.settlements["ticker"])
    assert all(held[ticker] == 0 for ticker in settled)
    marked = curve.equity["cash"] + curve.equity["marked"]
    assert (curve.equity["equity"] == marked).all()
    # With collateral returned, what has been paid out may be more than what came in.
    assert case.rules.collateral or (curve.equity["cash"] >= 0).all()
    assert (curve.equity["marked"] >= 0).all()


@pytest.mark.slow
@settings(deadline=None)
@given(cases() | cases(feature="netting"))
def test_cash_is_never_negative_after_any_fill(case: Case) -> None:
    _, run = walked(case)
    cash = case.rules.cash
    for fill in sorted(plain(run.fills), key=lambda f: (f["time"], f["leg"] == "entry")):
        cash += naive.cash_flow(fill) - fill["fee"]
    assert case.rules.collateral or cash >= 0
    assert all(fill["fee"] >= 0 for fill in plain(run.fills))


@pytest.mark.slow
@settings(deadline=None)
@given(cases() | cases(feature="netting"))
def test_closed_trades_equal_the_oracle_and_sum_to_the_result(case: Case) -> None:
    tape, run = walked(case)
    trades = closed_trades(tape, run).with_columns(pl.col(pl.Datetime).to_physical())
    orders, fills = plain(run.orders), plain(run.fills)
    names = ("trade_id", "ticker", "side", "entry_time", "exit_time", "quantity", "stake")
    names += ("gross_pnl", "fees", "pnl", "exit_reason")
    slow = [tuple(t[n] for n in names) for t in naive.closed_trades(orders, fills)]
    assert trades.select(names).rows() == slow
    still_open = set(run.fills["trade_id"]) - set(trades["trade_id"])
    still = sum(naive.cash_flow(f) - f["fee"] for f in fills if f["trade_id"] in still_open)
    total = naive.replay_cash(case.rules.cash, fills) - case.rules.cash
    assert int(trades["pnl"].sum()) + still == total


@pytest.mark.slow
@settings(deadline=None)
@given(cases())
def test_no_fill_beyond_the_volume_cap_or_after_the_close(case: Case) -> None:
    _, run = walked(case)
    closes = dict(case.settlements.select("ticker", "close_time").iter_rows())
    numbers = {t: m for m, t in enumerate(case.markets["ticker"])}
    share = case.rules.fill.participation
    traded = run.fills.filter(pl.col("kind") == "trade")
    for fill in traded.iter_rows(named=True):
        if fill["ticker"] in closes:
            assert fill["time"] <= closes[fill["ticker"]]
    if share is None or case.rules.fill.naive:
        return
    taken = traded.group_by("ticker", "time").agg(pl.col("quantity").abs().sum())
    for ticker, time, quantity in taken.iter_rows():
        bar = case.bars.filter(market=numbers[ticker], time=time).row(0, named=True)
        volume = case.rules.assumed_volume if bar["volume"] is None else bar["volume"]
        assert quantity <= share * volume + 1e-6


@pytest.mark.slow
@settings(deadline=None)
@given(cases())
def test_yes_and_no_mirror_exactly(case: Case) -> None:
    if case.rules.risk.min_edge is not None:
        return  # 1 - fair is not exact in floats, and the gate compares it
    if case.rules.collateral:
        return  # NO of one of several is not YES of one of several
    tape, run = walked(case)
    other_tape, other = walked(mirrored(case))
    assert run.orders["status"].equals(other.orders["status"])
    assert run.orders["reason"].equals(other.orders["reason"])
    assert run.fills["fee"].equals(other.fills["fee"])
    assert run.fills["quantity"].equals(-other.fills["quantity"])
    ours = equity_curve(tape, run, case.rules.cash).equity
    assert ours.equals(equity_curve(other_tape, other, case.rules.cash).equity)


@pytest.mark.slow
@settings(deadline=None)
@given(cases() | cases(feature="netting"))
def test_later_bars_do_not_change_earlier_fills(case: Case) -> None:
    """What is simulated up to a time is the same when everything later is cut off."""
    _, whole = walked(case)
    times = case.bars["time"].unique().sort()
    cut = times[len(times) // 2]
    settled = case.settlements.filter(pl.col("time") <= cut)
    early = replace(
        case,
        bars=case.bars.filter(pl.col("time") <= cut),
        intents=case.intents.filter(pl.col("time") <= cut),
        settlements=settled,
        markets=case.markets.with_columns(
            # An early close is an outcome; it is known to the part only where it has happened.
            close_time=pl.col("ticker").replace_strict(
                dict(case.settlements.select("ticker", "close_time").iter_rows()),
                default=pl.col("close_time"),
                return_dtype=case.markets.schema["close_time"],
            )
        ),
    )
    _, part = walked(early)
    before = whole.fills.filter(pl.col("time") <= cut)
    assert (
        before.drop("seq")
        .sort("order_id", "time", "quantity")
        .equals(part.fills.drop("seq").sort("order_id", "time", "quantity"))
    )


@pytest.mark.slow
@settings(deadline=None)
@given(book_cases())
def test_takers_get_what_the_book_showed_and_no_more(case: Case) -> None:
    assert case.books is not None
    if not case.rules.fill.book or case.rules.fill.exchange is not None:
        return
    _, run = walked(case)
    shown: dict[str, list[tuple[int, dict[int, int]]]] = {}
    for row in case.books.with_columns(pl.col("time").to_physical()).iter_rows(named=True):
        levels = {x["price"]: x["size"] for side in ("bids", "asks") for x in row[side] or []}
        shown.setdefault(row["ticker"], []).append((row["time"], levels))
    taken: Counter[tuple[str, int, int]] = Counter()
    for fill in plain(run.fills.filter(role="taker")):
        taken[fill["ticker"], fill["time"], fill["price"]] += abs(fill["quantity"])
    for (ticker, time, price), quantity in taken.items():
        before = [levels for t, levels in shown[ticker] if t < time]
        assert quantity <= before[-1][price]


def test_a_run_is_repeated_to_the_byte() -> None:
    case = random_case(seeded(5), markets=4, bars=30)
    first, second = walked(case)[1], walked(case)[1]
    assert first.fills.equals(second.fills)
    assert first.orders.equals(second.orders)
    assert np.array_equal(first.placed, second.placed)
