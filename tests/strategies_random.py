"""Cases to simulate: random markets, what a strategy wants of them, and the rules it trades under.

`random_case` draws one case from a generator; `cases` is the same as a hypothesis strategy, which
shrinks to few markets and few bars. Every frame is valid under its declared table.
"""

from dataclasses import dataclass, replace
from typing import Any

import hypothesis.strategies as st
import numpy as np
import polars as pl
from strategies_random_markets import (
    BALANCES,
    DOLLAR,
    SECOND,
    Ints,
    Rng,
    Scene,
    draw_bars,
    draw_markets,
    draw_rates,
    draw_scene,
    frame,
    odds,
    pick,
    with_nulls,
)
from strategies_random_outcomes import draw_determinations, draw_structure

from kalshi_bt.schema import INTENTS
from kalshi_bt.simulator.assumptions import FILLS, FillModel, Limit, RandomExchange, Risk, Rules


@dataclass(frozen=True)
class Case:
    """What one run of the simulator is given."""

    bars: pl.DataFrame
    markets: pl.DataFrame
    settlements: pl.DataFrame
    rates: pl.DataFrame
    intents: pl.DataFrame
    rules: Rules
    books: pl.DataFrame | None = None  # recorded depth in place of bars, and the trades with it
    trades: pl.DataFrame | None = None
    determinations: pl.DataFrame | None = None


# --- intents and rules --------------------------------------------------------------------------


def draw_levels(
    scene: Scene, at: Ints, side: Ints, kind: Ints, *, queue: bool
) -> dict[str, list[Any]]:
    """Limits, stops and targets around the ask of the side, mirrored into YES prices."""
    rng, n = scene.rng, len(at)
    ask = np.where(side >= 0, scene.ask[at, -1], 10_000 - scene.bid[at, -1])
    far = rng.choice([1, 1, 2, 6], n) * {100: 1, 10: 4, 1: 30}[scene.tick]
    # By kind: at any price from just below the ask, resting mostly below it, triggered above it.
    offset = rng.integers(np.array([-1, -5, -1])[kind], np.array([4, 3, 5])[kind])
    limit = np.clip(ask + offset * far * scene.tick, 1, 9_999)
    later = np.minimum(at + 1, len(scene.time) - 1)
    if scene.pinched:  # just what the order meets
        then, k = (at, -1) if scene.feature == "books" else (later, 0)
        limit = np.where(side >= 0, scene.ask[then, k], 10_000 - scene.bid[then, k])
    if queue:  # at the best price of the own side, or a tick off it
        bid = np.where(side >= 0, scene.bid[at, -1], 10_000 - scene.ask[at, -1])
        bid += scene.tick * rng.choice([0, 0, 0, 1, -1], n)
        limit = np.where((kind == 1) & (rng.random(n) < 0.6), np.clip(bid, 1, 9_999), limit)
    limit = np.where(rng.random(n) < 0.02, rng.choice([0, 10_000], n), limit)
    turning = scene.feature == "netting"  # then much is to be held when the next order comes
    bounded = np.where(kind == 0, rng.random(n) < (0.25 if turning else 0.5), rng.random(n) < 0.99)
    reference = np.where(bounded, limit, ask)
    # One in twenty on the wrong side, or at the price itself.
    distances, weights = [-1, 0, 1, 2, 4, 8], [0.02, 0.03, 0.35, 0.25, 0.2, 0.15]
    below = rng.choice(distances, n, p=weights) * far * scene.tick
    above = rng.choice(distances, n, p=weights) * far * scene.tick

    target = reference + above
    if queue:  # at the best ask of a bar in which the order may fill
        ask = np.where(side >= 0, scene.ask[later, -1], 10_000 - scene.bid[later, -1])
        ask = np.maximum(ask, reference + scene.tick)
        target = np.where(rng.random(n) < 0.5, ask, target)

    def yes(level: Ints, known: Any) -> list[Any]:
        level = np.clip(np.where(side >= 0, level, 10_000 - level), 0, 10_000)
        return with_nulls(level, known & (side != 0))

    return {
        "limit": yes(limit, bounded),
        "stop": yes(reference - below, rng.random(n) < (0.5 if turning else 0.6)),
        "target": yes(target, rng.random(n) < (0.4 if turning else 0.6)),
    }


def draw_sizes(scene: Scene, n: int, scale: int) -> dict[str, list[Any]]:
    """Sizes in contracts, of equity or at risk; now and then odd, none, or more than one."""
    rng = scene.rng
    by_lots = scene.pinched or (scene.calm and scene.feature != "settlement")
    way = rng.choice(3, n, p=[1.0, 0.0, 0.0] if by_lots else [0.5, 0.3, 0.2])
    twice, never = rng.random(n) < 0.04, rng.random(n) < 0.02
    lots = rng.integers(1, 40, n) * rng.choice([1, 1, 10], n) * scale
    if scene.feature == "collateral":  # what an event holds is to cancel out
        lots = scale * rng.choice([1, 1, 1, 2], n)
    if scene.feature == "balances":  # more than a bar has
        lots = rng.integers(20, 400, n) * scale
    if scene.feature == "netting":  # less than what is held, as much, and more
        lots = scale * rng.choice([1, 2, 2, 3, 4, 6], n)
    quantity = np.where(rng.random(n) < 0.05, rng.choice([150, 250, 99, 50, 0], n), lots * 100)
    return {
        "quantity": with_nulls(quantity, ((way == 0) | twice) & ~never),
        "stake": with_nulls(rng.choice([0.005, 0.02, 0.1, 0.45, 1.0], n), (way == 1) & ~never),
        "risk": with_nulls(rng.choice([0.003, 0.01, 0.05, 0.3], n), (way == 2) & ~never),
    }


def draw_intents(
    scene: Scene, scale: int, *, queue: bool, lean: Ints | None = None
) -> pl.DataFrame:
    """Entries and closes at random bars, at most one a bar, in order of (time, market)."""
    rng, turning = scene.rng, scene.feature == "netting"
    slow = scene.feature == "balances"  # orders that take several bars
    often = 0.6 if turning else 0.3 if scene.calm else rng.choice([0.2, 0.5, 0.9])
    chance = np.full(len(scene.time), often)
    if slow:  # mostly in force when balances change
        chance[(scene.time < BALANCES) & (scene.time >= BALANCES - 4 * scene.step)] = 0.8
    at = np.flatnonzero(rng.random(len(scene.time)) < chance)
    at = at[np.lexsort((scene.market[at], scene.time[at]))]
    n = len(at)
    kinds = [0.6, 0.4, 0.0] if scene.pinched else [0.45, 0.35, 0.2]
    kinds = [0.2, 0.7, 0.1] if queue and not scene.pinched else kinds
    kinds = [0.7, 0.25, 0.05] if lean is not None else kinds
    kinds = [0.45, 0.45, 0.1] if turning else kinds
    kinds = [0.15, 0.8, 0.05] if slow else kinds
    still = scene.calm and lean is None and not turning
    close = pick(rng, (0.08, 0.3), (1, 0) if still else (3, 2))
    side = rng.choice([1, -1, 0], n, p=[0.5 - close / 2, 0.5 - close / 2, close])
    if lean is not None:
        side = np.where((side != 0) & (rng.random(n) < 0.8), lean[scene.market[at]], side)
    if turning or scene.sticky:  # to and fro
        turn = np.array([np.sum(scene.market[at[:k]] == scene.market[at[k]]) for k in range(n)])
        turned = (side != 0) & (rng.random(n) < 0.7)
        side = np.where(turned, np.where(turn % 2 == 0, 1, -1), side)
    kind = np.where(side == 0, 0, rng.choice(3, n, p=kinds))
    leave = scene.time[at] + rng.integers(-1, 7, n) * scene.step + rng.choice([0, SECOND], n)
    patience = 12 if queue or turning or slow else 7
    fair = np.clip(scene.ask[at, -1] / 10_000 + side * rng.uniform(-0.03, 0.12, n), 0.0, 1.0)
    fair = np.where(rng.random(n) < 0.5, fair, fair.round(2))
    columns = {
        "market": scene.market[at],
        "time": scene.time[at],
        "side": side,
        "kind": [("ioc", "limit", "stop")[k] for k in kind],
        **draw_levels(scene, at, side, kind, queue=queue),
        "reward": with_nulls(rng.choice([3_333, 10_000, 25_000], n), rng.random(n) < 0.5),
        **draw_sizes(scene, n, scale),
        "valid_bars": np.where(kind == 0, 0, rng.integers(1, patience, n)),
        "exit_time": with_nulls(leave, (rng.random(n) < (0.25 if turning else 0.4)) & (side != 0)),
        "fair": with_nulls(fair, rng.random(n) < 0.5),
        "confidence": with_nulls(rng.choice([0.0, 0.1, 0.39, 0.4, 1.0], n), rng.random(n) < 0.6),
    }
    return frame(columns, INTENTS.columns)


def draw_limit(rng: Rng, cash: int, share: float = 1.0) -> Limit:
    """A cap in none, one or both of its parts, often tight; `share` makes both tighter."""
    if odds(rng, 0.75):
        return Limit()
    fraction = float(rng.choice([0.01, 0.05, 0.2, 0.6])) * share
    dollars = max(int(cash * share * rng.choice([0.005, 0.05, 0.3])), 1)
    return pick(rng, (Limit(fraction), Limit(None, dollars), Limit(fraction, dollars)), (1, 1, 1))


def draw_risk(rng: Rng, cash: int) -> Risk:
    def maybe(*values: float) -> Any:
        return None if odds(rng, 0.75) else pick(rng, values, [1] * len(values))

    return Risk(
        trading_hours=pick(rng, (None, *HOURS), (20, 1, 1, 1)),
        min_confidence=maybe(0.1, 0.4),
        min_reward_risk=maybe(0.5, 1.5),
        min_edge=maybe(-0.05, 0.0, 0.04),
        max_contracts=maybe(1, 5, 50),
        max_market=draw_limit(rng, cash),
        max_event=draw_limit(rng, cash),
        max_cycle=draw_limit(rng, cash),
        max_exposure=draw_limit(rng, cash),
        max_positions=maybe(1, 2),
        daily_loss=draw_limit(rng, cash, 0.1),
        weekly_loss=draw_limit(rng, cash, 0.1),
        session_loss=draw_limit(rng, cash, 0.1),
        max_drawdown=maybe(0.005, 0.03, 0.2),
        max_losses=maybe(1, 2, 3),
        max_order_rate=maybe(1, 1, 2),
        breaker_reset=pick(rng, ("day", "never"), (2, 1)),
        drawdown_reset=pick(rng, ("day", "never"), (1, 1)),
    )


def draw_breakers(rng: Rng, cash: int) -> Risk:
    """Limits on what is lost and nothing else: one of them, or two, that few losses reach."""
    fractions = [0.002, 0.01, 0.03]

    def loss() -> Limit:
        dollars = max(int(cash * rng.choice(fractions)), 1)
        return pick(rng, (Limit(float(rng.choice(fractions))), Limit(None, dollars)), (1, 1))

    drawn = {
        "daily_loss": loss(),
        "weekly_loss": loss(),
        "session_loss": loss(),
        "max_drawdown": pick(rng, (0.0, *fractions), (1, 3, 3, 3)),
        "max_losses": pick(rng, (1, 2, 3), (1, 2, 2)),
    }
    names = rng.permutation(sorted(drawn))[: pick(rng, (1, 2), (1, 1))]
    return Risk(
        **{name: drawn[name] for name in names},
        breaker_reset=pick(rng, ("day", "never"), (4, 1)),
        drawdown_reset=pick(rng, ("day", "never"), (4, 1)),
    )


# Random markets live around midnight UTC, which is 19:00 or 20:00 in New York.
HOURS = ("00:05-23:50 UTC", "19:30-03:00 America/New_York", "23:57-00:04 UTC")


# What a case can be asked to be about; without, all of them occur, most of them seldom.
FEATURES = (
    *("pauses", "passive", "random", "collateral", "netting", "settlement"),
    *("breakers", "balances"),
)


def draw_exchange(rng: Rng) -> RandomExchange:
    return pick(
        rng,
        (
            RandomExchange(),
            RandomExchange.hashed(),
            RandomExchange(stress=0.5, partial=0.6),
            RandomExchange(latency_ms=(0, 400_000), partial=0.6),  # longer than some bars
        ),
        (1, 2, 2, 3),
    )


def draw_fill(rng: Rng, feature: str | None) -> FillModel:
    """One of the named models, or one made of whatever parts may go together."""
    named = ("cross", "optimistic", "pessimistic", "naive", "passive", "random", None)
    weights = (3, 2, 2, 1, 1, 1, 6)
    if feature in ("passive", "random"):
        named, weights = (feature, None), (1, 2)
    if feature == "balances":
        named, weights = ("optimistic", "passive", None), (1, 1, 4)
    name = pick(rng, named, weights)
    if name is not None:
        return FILLS[name]
    queue = feature == "passive" or (feature != "random" and odds(rng, 0.15))
    shares = (4 if queue else 2, 1, 1, 1)
    if feature == "balances":
        shares = (0, 1, 2, 1)
    lucky = feature == "random" or odds(rng, 0.2)
    return FillModel(
        end=pick(rng, ("open", "friendly", "hostile"), (1, 1, 1)),
        touch=odds(rng, 0.9 if feature == "balances" else 0.5),
        prints=odds(rng, 0.5) or (queue and odds(rng, 0.6)),
        stop_first=odds(rng, 0.5),
        participation=pick(rng, (None, 0.0333, 0.25, 1.0), shares),
        naive=feature is None and odds(rng, 0.12),
        queue=queue,
        touch_share=pick(rng, (0.0, 0.3333, 0.5, 1.0), (1, 3, 3, 5)),
        exchange=draw_exchange(rng) if lucky else None,
    )


def pinch(case: Case, rng: Rng) -> Case:
    """Leave cash for just some lots of an entry decided before the fee rises."""
    own = pl.when(pl.col("side") == 1).then("limit").otherwise(10_000 - pl.col("limit"))
    free = case.rates.filter(taker=0).select("market", time="from_time")
    entries = case.intents.with_columns(own=own).with_row_index().filter(pl.col("side") != 0)
    entries = entries.filter(pl.col("own").is_between(2_000, 8_000))
    entries = entries.join(free, on=["market", "time"], maintain_order="left")
    if entries.is_empty():
        return case
    first, price = entries.select("index", "own").row(0)
    lots = int(rng.choice([1, 1, 1, 60, 300]))
    rules = replace(
        case.rules,
        cash=lots * price * 100 + 10_000 + int(rng.integers(0, 3_000)),
        lot=100,
        fill=replace(case.rules.fill, participation=None, naive=False),
        risk=Risk(),
    )
    return replace(case, rules=rules, intents=case.intents[first:])


def draw_rules(rng: Rng, step: int, cash: int, feature: str | None = None) -> Rules:
    # Few limits, so that more orders are sent.
    often = {None: 0.0, "collateral": 0.9, "netting": 0.4, "balances": 1.0, "breakers": 0.0}
    calm = odds(rng, often.get(feature, 0.7))
    limits = draw_breakers if feature == "breakers" else draw_risk
    lots = (1, 1, 2) if feature == "balances" else (8, 1, 1)
    return Rules(
        cash=cash,
        latency=pick(rng, (0, SECOND, step, 3 * step), (2, 4, 2, 1)),
        fill=draw_fill(rng, feature),
        lot=pick(rng, (100, 10, 1), lots) if cash < 10_000 * DOLLAR else 100,
        assumed_volume=pick(rng, (0, 900, 10_000), (1, 1, 2)),
        fee_rounding=pick(rng, ("auto", "order_cent", "exchange"), (4, 1, 1)),
        balance_precision=pick(rng, (None, 100, 10_000), (3, 1, 1)),
        bar=pick(rng, (0, step), (1, 1)),
        pauses=odds(rng, 0.95),
        seed=int(rng.integers(0, 2**63)),
        collateral=feature == "collateral",
        fractions=odds(rng, 0.3),
        risk=Risk() if calm or odds(rng, 0.1) else limits(rng, cash),
    )


def random_case(rng: Rng, *, markets: int = 3, bars: int = 12, feature: str | None = None) -> Case:
    """Draw a case of `markets` markets with up to `bars` bars each, both at least 1."""
    if feature is None and odds(rng, 0.5):
        others = ("pauses", "collateral", "netting", "settlement", "breakers", "balances")
        feature = pick(rng, others, (1, 1, 1, 1, 2, 1))
    cash = pick(rng, (0, 3, 40, 1_000, 2_000_000), (0.3, 2, 3, 4, 1)) * DOLLAR
    if feature == "balances":
        cash = 1_000 * DOLLAR
    if feature in ("collateral", "netting"):
        cash = pick(rng, (3, 12, 40), (1, 1, 1)) * DOLLAR
    never = feature in ("collateral", "netting", "balances")
    pinched = odds(rng, 0.0 if never else 0.24 if feature is None else 0.08)
    scale = 1_000 if pinched or cash > 10_000 * DOLLAR else 1
    if feature == "collateral":
        markets, scale = markets + 1, cash // DOLLAR
    scene = draw_scene(rng, markets, bars, pinched=pinched, feature=feature)
    listed, settlements = draw_markets(scene, markets)
    lean = None
    if feature == "collateral":
        listed, settlements, lean = draw_structure(scene, listed, settlements)
    rules = draw_rules(rng, scene.step, cash, feature)
    case = Case(
        bars=draw_bars(scene),
        markets=listed,
        settlements=settlements,
        rates=draw_rates(scene, markets),
        intents=draw_intents(scene, scale, queue=rules.fill.queue, lean=lean),
        rules=rules,
    )
    if odds(rng, 0.9 if feature == "settlement" else 0.3):
        case = replace(case, determinations=draw_determinations(scene, listed, settlements))
    return pinch(case, rng) if pinched else case


def seeded(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed))


def cases(markets: int = 4, bars: int = 16, feature: str | None = None) -> st.SearchStrategy[Case]:
    """Return a hypothesis strategy of cases, which shrinks to few markets and few bars."""
    return st.builds(
        lambda seed, m, b: random_case(seeded(seed), markets=m, bars=b, feature=feature),
        st.integers(0, 2**63 - 1),
        st.integers(1, markets),
        st.integers(1, bars),
    )
