"""What a run must do when its world is changed in a known way: mirrored, dearer, or slower."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import polars as pl
import pytest
from one_case import mirrored, walked
from strategies_random import Case
from strategies_random_books import kept_case

from kalshi_bt import schema
from kalshi_bt.simulator.assumptions import FILLS, Risk
from kalshi_bt.simulator.draws import draws
from kalshi_bt.simulator.ledger import equity_curve
from kalshi_bt.simulator.simulate import Simulation
from kalshi_bt.simulator.tape import Tape, ints

FEW, MANY = range(2_000, 2_014), range(3_000, 3_500)
SECOND = 1_000_000
MODELS = pytest.mark.parametrize("model", FILLS)

pytestmark = pytest.mark.slow


def drawn(model: str, seed: int) -> Case:
    case = kept_case(seed, "books" if model == "book" else None)
    return replace(case, rules=replace(case.rules, fill=FILLS[model], collateral=False))


# --- the mirror -----------------------------------------------------------------------------------


def sees_itself(case: Case) -> int:
    """Hold a case against its mirror image; return how many fills it had."""
    # 1 - fair is not exact in floats, and this gate compares it.
    risk = replace(case.rules.risk, min_edge=None)
    case = replace(case, rules=replace(case.rules, risk=risk))
    (tape, run), (glass, image) = walked(case), walked(mirrored(case))
    same = ["wanted", "quantity", "filled", "status", "reason"]
    assert run.orders.select(same).equals(image.orders.select(same))
    same = ["order_id", "seq", "time", "kind", "role", "leg", "reason", "fee"]
    assert run.fills.select(same).equals(image.fills.select(same))
    assert run.fills["quantity"].equals(-image.fills["quantity"])
    assert run.fills["price"].equals(10_000 - image.fills["price"])
    cash = case.rules.cash
    assert equity_curve(tape, run, cash).equity.equals(equity_curve(glass, image, cash).equity)
    return run.fills.height


@MODELS
def test_yes_and_no_are_mirror_images(model: str) -> None:
    assert sum(sees_itself(drawn(model, seed)) for seed in FEW) > len(FEW)


@pytest.mark.slow
@MODELS
def test_yes_and_no_are_mirror_images_in_many_more_cases(model: str) -> None:
    assert sum(sees_itself(drawn(model, seed)) for seed in MANY) > len(MANY)


# --- dearer ---------------------------------------------------------------------------------------


def plain(case: Case) -> Case:
    """A case in which fees decide nothing: rich, without limits, sized in contracts."""
    lots = pl.col("quantity").fill_null(500)
    shares = {name: pl.lit(None, dtype=pl.Float64) for name in ("stake", "risk")}
    return replace(
        case,
        intents=case.intents.with_columns(quantity=lots, **shares),
        rules=replace(case.rules, cash=10**13, risk=Risk()),
    )


def dearer(case: Case, factor: int) -> Case:
    rates = case.rates.with_columns(pl.col("taker", "maker") * factor)
    return replace(case, rates=rates)


TRADED = ("order_id", "seq", "time", "role", "leg", "quantity", "price")


def costs_more(case: Case, factor: int) -> tuple[int, int]:
    """Hold a case against a dearer one; return (1 if the fills are the same, fees that rose)."""
    case = plain(case)
    (tape, run), (_, dear) = walked(case), walked(dearer(case, factor))
    if not run.fills.select(TRADED).equals(dear.fills.select(TRADED)):
        return 0, 0
    ours = equity_curve(tape, run, case.rules.cash).equity["equity"]
    theirs = equity_curve(tape, dear, case.rules.cash).equity["equity"]
    assert (theirs <= ours).all()
    return 1, int(dear.fills["fee"].sum() > run.fills["fee"].sum())


def fees_are_monotone(model: str, seeds: range) -> None:
    same, rose = zip(*(costs_more(drawn(model, seed), 3) for seed in seeds), strict=True)
    # A sale that fees would eat up is not made: only then are fills not the same.
    assert sum(same) > 0.75 * len(seeds)
    assert sum(rose) > 0.2 * len(seeds) or model == "naive"
    assert sum(rose) == 0 or model != "naive"


@MODELS
def test_a_higher_fee_never_raises_equity_at_any_time_for_the_same_fills(model: str) -> None:
    fees_are_monotone(model, FEW)


@pytest.mark.slow
@MODELS
def test_a_higher_fee_never_raises_equity_in_many_more_cases(model: str) -> None:
    fees_are_monotone(model, MANY)


# --- slower ---------------------------------------------------------------------------------------


def arrivals(tape: Tape, case: Case) -> list[int]:
    """When each intent reaches the exchange, microseconds."""
    sent = case.intents["time"].to_physical().to_list()
    exchange = case.rules.fill.exchange
    if case.rules.fill.naive:
        return list(sent)
    if exchange is None:
        return [time + case.rules.latency for time in sent]
    luck = draws(
        case.rules.seed, tape.table["ticker"].to_list(), ints(case.intents["market"]), exchange
    )
    return [time + delay for time, delay in zip(sent, luck.delay.tolist(), strict=True)]


def entries(run: Simulation) -> Iterator[dict[str, Any]]:
    bought = run.fills.filter((pl.col("leg") == "entry") & (pl.col("kind") == "trade"))
    yield from bought.with_columns(pl.col("time").to_physical()).to_dicts()


def waits_its_time(case: Case) -> int:
    tape, run = walked(case)
    arrive = arrivals(tape, case)
    naive = case.rules.fill.naive
    count = 0
    for fill in entries(run):
        reached = arrive[fill["order_id"]]
        assert fill["time"] >= reached if naive else fill["time"] > reached
        count += 1
    # What a closing intent brings about arrives no sooner than one latency after the first of them.
    closing = case.intents.with_row_index("i").filter(pl.col("side") == 0)
    first = closing.group_by("market").agg(pl.col("time").min().to_physical())
    soonest = dict(first.iter_rows())
    number = {t: m for m, t in enumerate(case.markets["ticker"])}
    signalled = run.fills.filter(reason="signal").with_columns(pl.col("time").to_physical())
    exchange = case.rules.fill.exchange
    late = case.rules.latency if exchange is None else exchange.latency_ms[0] * 1_000
    late = 0 if naive else late
    for fill in signalled.iter_rows(named=True):
        sent = soonest[number[fill["ticker"]]]
        assert fill["time"] > sent + late
    return count


def slowed(case: Case, factor: int) -> Case:
    """The case with a way of at least a second, or of a drawn length that spans bars, times so."""
    fill = case.rules.fill
    if fill.exchange is not None:
        way = replace(fill.exchange, latency_ms=(40_000 * factor, 400_000 * factor))
        return replace(case, rules=replace(case.rules, fill=replace(fill, exchange=way)))
    latency = factor * max(case.rules.latency, SECOND)
    return replace(case, rules=replace(case.rules, latency=latency))


def slower_is_not_sooner(model: str, seeds: range) -> None:
    count = 0
    for seed in seeds:
        case = drawn(model, seed)
        waits_its_time(slowed(case, 1))
        count += waits_its_time(slowed(case, 2))
    assert count > 0.4 * len(seeds)


@MODELS
def test_nothing_fills_before_it_arrives_however_slow_the_way(model: str) -> None:
    slower_is_not_sooner(model, FEW)


@pytest.mark.slow
@MODELS
def test_nothing_fills_before_it_arrives_in_many_more_cases(model: str) -> None:
    slower_is_not_sooner(model, MANY)


def under_way(case: Case) -> Iterator[tuple[Case, Case]]:
    """Each intent alone, and the same with other quotes and trades while it is on its way."""
    slow = 3 * 60 * SECOND
    rules = replace(case.rules, latency=slow)
    for intent in case.intents.filter(pl.col("side") != 0).iter_slices(1):
        alone = replace(case, intents=intent, rules=rules)
        sent = intent["time"].to_physical()[0]
        time = pl.col("time").to_physical()
        flies = (pl.col("market") == intent["market"][0]) & (time > sent) & (time <= sent + slow)
        if not case.bars.select(flies.any()).item():
            continue
        # Trades and quotes that would fill, stop and trigger anything.
        wild = {"open": 5_000, "high": 9_900, "low": 100, "close": 5_000}
        moved = {
            f"{name}_{part}": pl.when(flies).then(level).otherwise(f"{name}_{part}")
            .cast(schema.Price).alias(f"{name}_{part}")
            for name in ("price", "bid", "ask")
            for part, level in wild.items()
        }  # fmt: skip
        volume = pl.when(flies).then(10**7).otherwise("volume").alias("volume")
        yield alone, replace(alone, bars=case.bars.with_columns(*moved.values(), volume))


@pytest.mark.parametrize(
    "model", [name for name in FILLS if name not in ("naive", "book", "random")]
)
def test_what_happens_while_an_order_is_on_its_way_changes_nothing(model: str) -> None:
    compared = filled = 0
    for seed in FEW[:8]:
        for still, wild in under_way(drawn(model, seed)):
            run = walked(still)[1]
            other_run = walked(wild)[1]
            assert run.fills.equals(other_run.fills)
            assert run.orders.equals(other_run.orders)
            compared += 1
            filled += run.fills.height > 0
    assert compared > 10
    assert filled > 1
