"""Small markets made to be nasty, and the rules to trade them under.

`random_case` draws one case from a generator; `cases` is the same as a hypothesis strategy, which
shrinks to few markets and few bars. Every frame is valid under its declared table.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import hypothesis.strategies as st
import numpy as np
import polars as pl

from kalshi_bt.schema import BARS, INTENTS, MARKETS, OHLC, SETTLEMENTS, Time
from kalshi_bt.simulator.assumptions import FILLS, FillModel, Limit, Risk, Rules

SECOND = 1_000_000
MINUTE = 60 * SECOND
DAY = 1_440 * MINUTE
DOLLAR = 1_000_000
MIDNIGHTS = (
    1_748_736_000 * SECOND,  # 2025-06-01: fees to the cent of an order
    1_772_582_400 * SECOND,  # 2026-03-04: the change to rounding by the exchange
    1_788_220_800 * SECOND,  # 2026-09-01: the change to fees in micro-dollars
    1_790_812_800 * SECOND,  # 2026-10-01
)
RATES = {"market": pl.UInt32, "from_time": Time, "taker": pl.Int64, "maker": pl.Int64}
MOMENTS = 4  # quotes inside a bar from which its open, high, low and close are taken

Ints = np.ndarray[tuple[int, ...], np.dtype[np.int64]]
Rng = np.random.Generator


@dataclass(frozen=True)
class Case:
    """What one run of the simulator is given."""

    bars: pl.DataFrame
    markets: pl.DataFrame
    settlements: pl.DataFrame
    rates: pl.DataFrame
    intents: pl.DataFrame
    rules: Rules


@dataclass(frozen=True)
class Scene:
    """What the parts of a case have in common."""

    rng: Rng
    market: Ints  # of each bar, ascending
    time: Ints  # of each bar
    tick: int
    step: int  # shortest distance of two bars
    bid: Ints  # (bars, MOMENTS), before sides are emptied
    ask: Ints
    pinched: bool  # fees that rise and fall, and orders for all the cash there is


def odds(rng: Rng, chance: float) -> bool:
    return bool(rng.random() < chance)


def pick(rng: Rng, values: Sequence[Any], weights: Sequence[float]) -> Any:
    edges = np.cumsum(weights)
    return values[int(np.searchsorted(edges, rng.random() * edges[-1], side="right"))]


def with_nulls(values: np.ndarray[Any, Any], known: np.ndarray[Any, Any]) -> list[Any]:
    return [v if k else None for v, k in zip(values.tolist(), known.tolist(), strict=True)]


def frame(columns: dict[str, Any], schema: dict[str, Any]) -> pl.DataFrame:
    made = {}
    for name, dtype in schema.items():
        physical = pl.Int64 if dtype == Time else dtype
        made[name] = pl.Series(name, columns[name], physical).cast(dtype)
    return pl.DataFrame(made)


# --- markets ------------------------------------------------------------------------------------


def draw_scene(rng: Rng, markets: int, bars: int, *, pinched: bool) -> Scene:
    """Times on a common grid, so that some are shared, and a walk of quotes for each market."""
    step = pick(rng, (MINUTE, 15 * MINUTE, DAY // 4), (5, 3, 4))
    counts = rng.integers(max(bars // 3, 1), bars + 1, markets)
    spacing = rng.integers(1, 4, markets)
    owner = np.repeat(np.arange(markets), counts)
    gaps = spacing[owner] * np.where(rng.random(len(owner)) < 0.15, 2, 1)
    starts = np.cumsum(counts) - counts
    slots = np.cumsum(gaps)
    slots = slots - slots[starts][owner] + rng.integers(0, 3, markets)[owner]
    first = pick(rng, MIDNIGHTS, (2, 3, 3, 1)) - int(rng.integers(-2, int(slots.max()) + 2)) * step
    tick = pick(rng, (100, 10, 1), (8, 1, 1))
    bid, ask = draw_quotes(rng, owner, starts, tick)
    return Scene(rng, owner, first + slots * step, tick, step, bid, ask, pinched)


def draw_quotes(rng: Rng, owner: Ints, starts: Ints, tick: int) -> tuple[Ints, Ints]:
    """Walk within 0 and a dollar in ticks, tame or wild, at times near the ends."""
    shape = (len(owner), MOMENTS)
    scale = {100: 1, 10: 4, 1: 30}[tick]
    wild = rng.choice([1, 2, 8, 20], len(starts))[owner] * scale
    moves = np.round(rng.normal(0, 1.2, shape) * wild[:, None]).astype(np.int64)
    path = np.cumsum(moves, axis=None).reshape(shape)
    path -= path[starts, 0][owner][:, None]
    centre = rng.choice([0.04, 0.3, 0.5, 0.7, 0.96], len(starts))[owner] * 10_000
    last = 10_000 // tick - 1  # highest price in ticks
    width = rng.choice([0, 1, 1, 2, 5, 12], (len(owner), 1)) * scale + (rng.random(shape) < 0.3)
    path = (path + (centre // tick).astype(np.int64)[:, None] - 1) % (2 * last - 2)
    bid = 1 + np.minimum(path, 2 * last - 2 - path)  # folded back where it leaves the dollar
    ask = np.clip(bid + width, 1, last)
    return bid * tick, ask * tick


def ohlc(path: Ints) -> dict[str, Ints]:
    return dict(zip(OHLC, (path[:, 0], path.max(1), path.min(1), path[:, -1]), strict=True))


def quote_columns(scene: Scene, side: str, path: Ints, chance: float) -> dict[str, list[Any]]:
    """Quotes of one side; where it is empty at an end the end is null, and perhaps its extreme."""
    rng, bars = scene.rng, len(path)
    empty = rng.random((bars, MOMENTS)) < chance
    empty |= (rng.random(bars) < chance / 2)[:, None]
    empty[:, [0, -1]] |= (rng.random(bars) < chance / 3)[:, None]  # quoted in the middle only
    extreme = "low" if side == "bid" else "high"
    gone = empty.all(axis=1)
    known = {
        "open": ~empty[:, 0],
        "close": ~empty[:, -1],
        extreme: ~(empty.any(axis=1) & (rng.random(bars) < 0.5)),
        ("high" if side == "bid" else "low"): np.ones(bars, dtype=bool),
    }
    values = ohlc(path)
    return {f"{side}_{part}": with_nulls(values[part], known[part] & ~gone) for part in OHLC}


def trade_columns(scene: Scene) -> dict[str, list[Any]]:
    """Trades at the quotes, between and around them, or none."""
    rng, shape = scene.rng, scene.bid.shape
    side = rng.random(shape) < 0.5
    around = rng.integers(-3, 4, shape) * scene.tick * (rng.random(shape) < 0.3)
    prices = np.where(side, scene.bid, scene.ask) + around
    values = ohlc(np.clip(prices, scene.tick, 10_000 - scene.tick))
    traded = rng.random(len(side)) < 0.75
    return {f"price_{part}": with_nulls(values[part], traded) for part in OHLC}


def draw_bars(scene: Scene) -> pl.DataFrame:
    rng, bars = scene.rng, len(scene.time)
    chance = pick(rng, (0.0, 0.06, 0.3), (3, 4, 3))
    # Bars of 0, few, some and very many contracts, as a participation leaves little of them.
    scales = np.array([0, 200, 3_000, 40_000, 5_000_000])
    mix = pick(rng, ((1, 2, 3, 3, 1), (3, 4, 3, 0, 0), (0, 0, 0, 2, 3)), (5, 2, 2))
    sizes = rng.choice(scales, bars, p=np.array(mix) / sum(mix))
    volume = np.floor(sizes * rng.uniform(0.2, 2.0, bars)).astype(np.int64)
    columns = {
        "market": scene.market,
        "time": scene.time,
        **trade_columns(scene),
        **quote_columns(scene, "bid", scene.bid, chance),
        **quote_columns(scene, "ask", scene.ask, chance),
        "volume": with_nulls(volume, rng.random(bars) < 0.9),
        "open_interest": with_nulls(rng.integers(0, 10**6, bars), rng.random(bars) < 0.5),
        "bid_size": [None] * bars,
        "ask_size": [None] * bars,
    }
    return frame(columns, BARS.columns)


def draw_markets(scene: Scene, markets: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Markets of few events; closed early, late, on a bar or never, paid in full or in part."""
    rng = scene.rng
    first, last = int(scene.time.min()), int(scene.time.max())
    tickers = [f"M{m}" for m in range(markets)]

    def moments() -> Ints:
        late = last + rng.integers(-2, 3, markets) * scene.step
        chosen = np.where(rng.random(markets) < 0.75, late, rng.choice(scene.time, markets))
        return np.maximum(chosen + rng.choice([0, 0, 0, -SECOND], markets), first)

    columns: dict[str, Any] = {name: [None] * markets for name in MARKETS.columns}
    columns |= {
        "ticker": tickers,
        "event": [f"E{e}" for e in rng.integers(0, max(markets // 2, 1) + 1, markets)],
        "series": ["S"] * markets,
        "close_time": with_nulls(moments(), rng.random(markets) < 0.6),
    }
    settled = np.flatnonzero(rng.random(markets) < 0.65)
    close = moments()[settled]
    # Paid at the close, later, on a common time, or (an odd record) before it.
    paid = close + rng.choice([0, 0, 1, 2, 5, -1], len(settled)) * scene.step
    payout = rng.choice([0, 10_000, 0, 10_000, 2_500, 9_999], len(settled))
    outcome = {
        "ticker": [tickers[m] for m in settled],
        "time": paid,
        "close_time": close,
        "payout": payout,
        "result": [{0: "no", 10_000: "yes"}.get(p, "scalar") for p in payout.tolist()],
        "value": [None] * len(settled),
    }
    return frame(columns, MARKETS.columns), frame(outcome, SETTLEMENTS.columns)


def draw_rates(scene: Scene, markets: int) -> pl.DataFrame:
    """One to three rates a market, the first from before its bars; pinched: another every bar."""
    rng, rows = scene.rng, []
    for m in range(markets):
        times = scene.time[scene.market == m]
        later = times[1:] if scene.pinched else rng.permutation(times[1:])[: rng.integers(0, 3)]
        starts = [int(times[0]) - int(rng.integers(0, 2)) * DAY, *sorted(later.tolist())]
        for k, start in enumerate(starts):
            taker = pick(rng, (70_000, 35_000, 0), (4, 2, 2))
            taker = (0, 70_000)[k % 2] if scene.pinched else taker
            rows.append((m, start, taker, pick(rng, (0, 17_500), (1, 1))))
    return frame(dict(zip(RATES, zip(*rows, strict=True), strict=True)), RATES)


# --- intents and rules --------------------------------------------------------------------------


def draw_levels(scene: Scene, at: Ints, side: Ints, kind: Ints) -> dict[str, list[Any]]:
    """Limits, stops and targets around the ask of the side, mirrored into YES prices."""
    rng, n = scene.rng, len(at)
    ask = np.where(side >= 0, scene.ask[at, -1], 10_000 - scene.bid[at, -1])
    far = rng.choice([1, 1, 2, 6], n) * {100: 1, 10: 4, 1: 30}[scene.tick]
    # By kind: at any price from just below the ask, resting mostly below it, triggered above it.
    offset = rng.integers(np.array([-1, -5, -1])[kind], np.array([4, 3, 5])[kind])
    limit = np.clip(ask + offset * far * scene.tick, 1, 9_999)
    if scene.pinched:  # just what the next bar opens at
        later = np.minimum(at + 1, len(scene.time) - 1)
        limit = np.where(side >= 0, scene.ask[later, 0], 10_000 - scene.bid[later, 0])
    limit = np.where(rng.random(n) < 0.02, rng.choice([0, 10_000], n), limit)
    bounded = np.where(kind == 0, rng.random(n) < 0.5, rng.random(n) < 0.99)
    reference = np.where(bounded, limit, ask)
    # One in twenty on the wrong side, or at the price itself.
    distances, weights = [-1, 0, 1, 2, 4, 8], [0.02, 0.03, 0.35, 0.25, 0.2, 0.15]
    below = rng.choice(distances, n, p=weights) * far * scene.tick
    above = rng.choice(distances, n, p=weights) * far * scene.tick

    def yes(level: Ints, known: Any) -> list[Any]:
        level = np.clip(np.where(side >= 0, level, 10_000 - level), 0, 10_000)
        return with_nulls(level, known & (side != 0))

    return {
        "limit": yes(limit, bounded),
        "stop": yes(reference - below, rng.random(n) < 0.6),
        "target": yes(reference + above, rng.random(n) < 0.6),
    }


def draw_sizes(scene: Scene, n: int, scale: int) -> dict[str, list[Any]]:
    """Sizes in contracts, of equity or at risk; now and then odd, none, or more than one."""
    rng = scene.rng
    way = rng.choice(3, n, p=[1.0, 0.0, 0.0] if scene.pinched else [0.5, 0.3, 0.2])
    twice, never = rng.random(n) < 0.04, rng.random(n) < 0.02
    lots = rng.integers(1, 40, n) * rng.choice([1, 1, 10], n) * scale
    quantity = np.where(rng.random(n) < 0.05, rng.choice([150, 250, 99, 50, 0], n), lots * 100)
    return {
        "quantity": with_nulls(quantity, ((way == 0) | twice) & ~never),
        "stake": with_nulls(rng.choice([0.005, 0.02, 0.1, 0.45, 1.0], n), (way == 1) & ~never),
        "risk": with_nulls(rng.choice([0.003, 0.01, 0.05, 0.3], n), (way == 2) & ~never),
    }


def draw_intents(scene: Scene, scale: int) -> pl.DataFrame:
    """Entries and closes at random bars, at most one a bar, in order of (time, market)."""
    rng = scene.rng
    at = np.flatnonzero(rng.random(len(scene.time)) < rng.choice([0.2, 0.5, 0.9]))
    at = at[np.lexsort((scene.market[at], scene.time[at]))]
    n = len(at)
    kinds = [0.6, 0.4, 0.0] if scene.pinched else [0.45, 0.35, 0.2]
    side = rng.choice([1, -1, 0], n, p=[0.46, 0.46, 0.08])
    kind = np.where(side == 0, 0, rng.choice(3, n, p=kinds))
    leave = scene.time[at] + rng.integers(-1, 7, n) * scene.step + rng.choice([0, SECOND], n)
    fair = np.clip(scene.ask[at, -1] / 10_000 + side * rng.uniform(-0.03, 0.12, n), 0.0, 1.0)
    fair = np.where(rng.random(n) < 0.5, fair, fair.round(2))
    columns = {
        "market": scene.market[at],
        "time": scene.time[at],
        "side": side,
        "kind": [("ioc", "limit", "stop")[k] for k in kind],
        **draw_levels(scene, at, side, kind),
        "reward": with_nulls(rng.choice([3_333, 10_000, 25_000], n), rng.random(n) < 0.5),
        **draw_sizes(scene, n, scale),
        "valid_bars": np.where(kind == 0, 0, rng.integers(1, 7, n)),
        "exit_time": with_nulls(leave, (rng.random(n) < 0.4) & (side != 0)),
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
        trading_hours=pick(rng, (None, *HOURS), (8, 1, 1, 1)),
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
        max_drawdown=maybe(0.005, 0.03, 0.2),
        max_losses=maybe(1, 2, 3),
        max_order_rate=maybe(1, 1, 2),
        breaker_reset=pick(rng, ("day", "never"), (2, 1)),
    )


# Random markets live around midnight UTC, which is 19:00 or 20:00 in New York.
HOURS = ("00:05-23:50 UTC", "19:30-03:00 America/New_York", "23:57-00:04 UTC")


def draw_fill(rng: Rng) -> FillModel:
    named = pick(rng, (*FILLS.values(), None), (3, 2, 2, 1, 5))
    return named or FillModel(
        end=pick(rng, ("open", "friendly", "hostile"), (1, 1, 1)),
        touch=odds(rng, 0.5),
        prints=odds(rng, 0.5),
        stop_first=odds(rng, 0.5),
        participation=pick(rng, (None, 0.0333, 0.25, 1.0), (2, 1, 1, 1)),
        naive=odds(rng, 0.12),
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


def draw_rules(rng: Rng, step: int, cash: int) -> Rules:
    return Rules(
        cash=cash,
        latency=pick(rng, (0, SECOND, step, 3 * step), (2, 4, 2, 1)),
        fill=draw_fill(rng),
        lot=pick(rng, (100, 10, 1), (8, 1, 1)) if cash < 10_000 * DOLLAR else 100,
        assumed_volume=pick(rng, (0, 900, 10_000), (1, 1, 2)),
        fee_rounding=pick(rng, ("auto", "order_cent", "exchange"), (4, 1, 1)),
        balance_precision=pick(rng, (100, 10_000), (1, 1)),
        bar=pick(rng, (0, step), (1, 1)),
        risk=draw_risk(rng, cash),
    )


def random_case(rng: Rng, *, markets: int = 3, bars: int = 12) -> Case:
    """Draw a case of `markets` markets with up to `bars` bars each, both at least 1."""
    cash = pick(rng, (0, 3, 40, 1_000, 2_000_000), (0.3, 2, 3, 4, 1)) * DOLLAR
    pinched = odds(rng, 0.24)
    scale = 1_000 if pinched or cash > 10_000 * DOLLAR else 1
    scene = draw_scene(rng, markets, bars, pinched=pinched)
    listed, settlements = draw_markets(scene, markets)
    case = Case(
        bars=draw_bars(scene),
        markets=listed,
        settlements=settlements,
        rates=draw_rates(scene, markets),
        intents=draw_intents(scene, scale),
        rules=draw_rules(rng, scene.step, cash),
    )
    return pinch(case, rng) if pinched else case


def seeded(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed))


def cases(markets: int = 4, bars: int = 16) -> st.SearchStrategy[Case]:
    """Return a hypothesis strategy of cases, which shrinks to few markets and few bars."""
    return st.builds(
        lambda seed, m, b: random_case(seeded(seed), markets=m, bars=b),
        st.integers(0, 2**63 - 1),
        st.integers(1, markets),
        st.integers(1, bars),
    )
