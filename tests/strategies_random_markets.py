"""Small markets made to be nasty: bars, listings, outcomes, fee rates."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
import polars as pl

from kalshi_bt.schema import BARS, MARKETS, OHLC, SETTLEMENTS, Time

SECOND = 1_000_000
MINUTE = 60 * SECOND
DAY = 1_440 * MINUTE
DOLLAR = 1_000_000
FRACTIONS = 1_776_384_000 * SECOND  # 2026-04-17: all markets from here on trade in fractions
BALANCES = 1_779_926_400 * SECOND  # 2026-05-28: the change to balances in $0.0001
MIDNIGHTS = (
    1_748_736_000 * SECOND,  # 2025-06-01: fees to the cent of an order
    1_772_582_400 * SECOND,  # 2026-03-04: the change to rounding by the exchange
    1_788_220_800 * SECOND,  # 2026-09-01: the change to fees in micro-dollars
    1_790_812_800 * SECOND,  # 2026-10-01
    FRACTIONS,
    1_780_272_000 * SECOND,  # 2026-06-01: a Monday
    BALANCES,
)
# Thursdays 03:00 in New York, when the exchange stops for two hours: twice in winter, in summer
# after the clocks went forward, before they go back, and under the latest fees.
PAUSES = (
    1_765_440_000 * SECOND,  # 2025-12-11 08:00 UTC
    1_773_298_800 * SECOND,  # 2026-03-12 07:00 UTC
    1_793_257_200 * SECOND,  # 2026-10-29 07:00 UTC
    1_793_865_600 * SECOND,  # 2026-11-05 08:00 UTC
)
RATES = {"market": pl.UInt32, "from_time": Time, "taker": pl.Int64, "maker": pl.Int64}
MOMENTS = 4  # quotes inside a bar from which its open, high, low and close are taken

Ints = np.ndarray[tuple[int, ...], np.dtype[np.int64]]
Rng = np.random.Generator


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
    calm: bool  # prices that mostly stay, and trades at nothing but the quotes
    feature: str | None  # what the case is about
    pinched: bool  # fees that rise and fall, and orders for all the cash there is
    sticky: bool = False  # recorded books whose levels stay, and orders that come back to them


def odds(rng: Rng, chance: float) -> bool:
    return bool(rng.random() < chance)


def pick(rng: Rng, values: Sequence[Any], weights: Sequence[float]) -> Any:
    edges = list(accumulate(weights))
    return values[bisect_right(edges, rng.random() * edges[-1])]


def with_nulls(values: np.ndarray[Any, Any], known: np.ndarray[Any, Any]) -> list[Any]:
    return [v if k else None for v, k in zip(values.tolist(), known.tolist(), strict=True)]


def frame(columns: dict[str, Any], schema: dict[str, Any]) -> pl.DataFrame:
    made = {}
    for name, dtype in schema.items():
        physical = pl.Int64 if dtype == Time else dtype
        made[name] = pl.Series(name, columns[name], physical).cast(dtype)
    return pl.DataFrame(made)


# --- markets ------------------------------------------------------------------------------------


def draw_scene(
    rng: Rng, markets: int, bars: int, *, pinched: bool, feature: str | None = None
) -> Scene:
    """Times on a common grid, so that some are shared, and a walk of quotes for each market."""
    long = feature == "breakers"
    steps = {"pauses": (5, 8, 1), "breakers": (1, 0, 6)}.get(feature or "", (5, 3, 4))
    step = pick(rng, (MINUTE, 15 * MINUTE, DAY // 4), steps)
    calm = feature in ("passive", "collateral", "settlement") and odds(rng, 0.75)
    calm |= (feature == "netting" and odds(rng, 0.4)) or feature == "balances"
    bars += bars * calm // 2 + 8 * (feature in ("collateral", "netting"))
    bars += 2 * bars * long  # weeks
    counts = rng.integers(max((bars if calm or long else bars // 3), 1), bars + 1, markets)
    spacing = rng.integers(1, 4, markets)
    owner = np.repeat(np.arange(markets), counts)
    gaps = spacing[owner] * np.where(rng.random(len(owner)) < 0.15, 2, 1)
    starts = np.cumsum(counts) - counts
    slots = np.cumsum(gaps)
    slots = slots - slots[starts][owner] + rng.integers(0, 3, markets)[owner]
    moment = pick(rng, MIDNIGHTS, (2, 3, 3, 1, 2, 2, 4))
    if feature == "pauses":  # one end of a pause, to the second or nearly
        moment = pick(rng, PAUSES, (1, 1, 1, 1)) + pick(rng, (0, 120 * MINUTE), (1, 1))
        moment += pick(rng, (0, SECOND, -SECOND), (6, 1, 1))
    first = moment - int(rng.integers(-2, int(slots.max()) + 2)) * step
    if moment == FRACTIONS and odds(rng, 0.5):  # some of the markets are older, some are not
        first = moment - step
    if feature == "balances":  # with trading on either side of it
        first = BALANCES - int(slots.max() * rng.uniform(0.2, 0.8)) * step
    tick = pick(rng, (100, 10, 1), (8, 1, 1))
    bid, ask = draw_quotes(rng, owner, starts, tick, calm=calm)
    return Scene(rng, owner, first + slots * step, tick, step, bid, ask, calm, feature, pinched)


def draw_quotes(rng: Rng, owner: Ints, starts: Ints, tick: int, *, calm: bool) -> tuple[Ints, Ints]:
    """Walk within 0 and a dollar in ticks, tame or wild, at times near the ends."""
    shape = (len(owner), MOMENTS)
    scale = {100: 1, 10: 4, 1: 30}[tick]
    wild = rng.choice([1, 2, 8, 20], len(starts))[owner] * scale
    moves = np.round(rng.normal(0, 1.2, shape) * wild[:, None]).astype(np.int64)
    moves = np.where(calm & (rng.random(shape) < 0.93), 0, moves)  # prices that come back
    path = np.cumsum(moves, axis=None).reshape(shape)
    path -= path[starts, 0][owner][:, None]
    centre = rng.choice([0.04, 0.3, 0.5, 0.7, 0.96], len(starts))[owner] * 10_000
    last = 10_000 // tick - 1  # highest price in ticks
    width = rng.choice([0, 1, 1, 2, 5, 12], (len(owner), 1)) * scale
    width = width + (rng.random(shape) < (0.02 if calm else 0.3))
    path = (path + (centre // tick).astype(np.int64)[:, None] - 1) % (2 * last - 2)
    bid = 1 + np.minimum(path, 2 * last - 2 - path)  # folded back where it leaves the dollar
    if calm:  # one width for all of a market
        width = np.maximum(width[starts, :1], 1)[owner]
    ask = np.clip(bid + width, 1, last)
    if calm:  # now and then a bid is gone for a moment, or an ask
        bid = np.maximum(bid - 4 * scale * (rng.random(shape) < 0.03), 1)
        ask = np.minimum(ask + 4 * scale * (rng.random(shape) < 0.03), last)
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
    around = (
        rng.integers(-3, 4, shape)
        * scene.tick
        * (rng.random(shape) < (0.02 if scene.calm else 0.3))
    )
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
    if scene.feature in ("collateral", "settlement"):
        mix = (0, 0, 1, 4, 5)
    if scene.feature in ("netting", "balances"):  # often for a part of an order only
        mix = (0, 3, 3, 2, 1)
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
    }
    for side in ("bid", "ask"):
        known = np.array([quote is not None for quote in columns[f"{side}_close"]])
        size = rng.choice([60, 100, 700, 3_000, 40_000], bars) + 10 * rng.integers(0, 10, bars)
        columns[f"{side}_size"] = with_nulls(size, known & (rng.random(bars) < 0.8))
    return frame(columns, BARS.columns)


def draw_markets(scene: Scene, markets: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Markets of few events; closed early, late, on a bar or never, paid in full or in part."""
    rng = scene.rng
    first, last = int(scene.time.min()), int(scene.time.max())
    tickers = [f"M{m}" for m in range(markets)]
    paid_early = scene.feature in ("settlement", "balances")

    def moments() -> Ints:
        late = last + rng.integers(-2, 3, markets) * scene.step
        chosen = np.where(
            rng.random(markets) < (0.5 if paid_early else 0.95 if scene.calm else 0.75),
            late,
            rng.choice(scene.time, markets),
        )
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
    later = [1, 2, 3, 5, 8] if paid_early else [0, 0, 1, 2, 5, -1]
    paid = close + rng.choice(later, len(settled)) * scene.step
    payouts = [0, 10_000, 0, 10_000, 2_500, 9_999, 5_970]
    payouts = [9_999, 5_970, 4_031] if scene.feature == "balances" else payouts
    payout = rng.choice(payouts, len(settled))
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
