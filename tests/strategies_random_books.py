"""Cases with recorded books: few levels, odd sizes, gaps in the record, trades at the levels."""

from dataclasses import replace
from functools import lru_cache
from typing import Any

import hypothesis.strategies as st
import polars as pl
from strategies_random import (
    Case,
    draw_exchange,
    draw_fill,
    draw_intents,
    draw_rules,
    pinch,
    random_case,
    seeded,
)
from strategies_random_markets import (
    DOLLAR,
    Rng,
    Scene,
    draw_markets,
    draw_rates,
    draw_scene,
    odds,
    pick,
)
from strategies_random_outcomes import draw_determinations, draw_structure

from kalshi_bt.schema import BARS, BOOKS, INTENTS, TRADES
from kalshi_bt.simulator.assumptions import FILLS

Side = list[dict[str, int]]
Sides = tuple[Side, Side]
SIZES = (40, 100, 150, 300, 1_000, 5_000, 20_000, 60_000)


def one_of(rng: Rng, sizes: tuple[int, ...]) -> int:
    return sizes[int(rng.integers(len(sizes)))]


def draw_side(rng: Rng, best: int, step: int) -> Side:
    """Levels from the best price away from the other side, within a dollar."""
    levels: Side = []
    price = best
    for _ in range(pick(rng, range(5), (8, 22, 30, 25, 15))):
        if not 1 <= price <= 9_999:
            break
        levels.append({"price": price, "size": one_of(rng, SIZES)})
        price += step * int(rng.integers(1, 4))
    return levels


def moved(rng: Rng, levels: Side) -> Side:
    """Levels of which most stay, some shrink or grow, and some are gone for the moment."""
    changed = []
    for level in levels:
        way = pick(rng, ("stays", "changes", "goes"), (6, 3, 1))
        size = one_of(rng, SIZES[:5]) if way == "changes" else min(level["size"], 1_000)
        if way != "goes":
            changed.append(level | {"size": size})
    return changed


def draw_records(scene: Scene) -> tuple[pl.DataFrame, pl.DataFrame]:
    """A book, trades, or both at each moment of the scene."""
    rng, tick = scene.rng, scene.tick
    gaps = pick(rng, (0.0, 0.08, 0.25), (2, 2, 1))
    weights = (9, 9, 1, 1) if scene.calm else (3, 3, 1, 1)
    displayed: dict[int, Sides] = {}  # by market, of books whose levels stay
    books: list[dict[str, Any]] = []
    trades: list[dict[str, Any]] = []
    for row, (market, time) in enumerate(zip(scene.market, scene.time, strict=True)):
        at = {"ticker": f"M{market}", "time": int(time)}
        bid = int(scene.bid[row, -1])
        ask = max(int(scene.ask[row, -1]), bid + tick)
        if odds(rng, 0.75):
            unknown = odds(rng, gaps)
            bids, asks = draw_side(rng, bid, -tick), draw_side(rng, ask, tick)
            if scene.sticky:
                before = displayed.get(int(market), (bids, asks))
                displayed[int(market)] = before
                bids, asks = (moved(rng, levels) for levels in before)
            books.append(
                at | ({"bids": None, "asks": None} if unknown else {"bids": bids, "asks": asks})
            )
        for n in range(pick(rng, range(4), (4, 3, 2, 1))):
            price = pick(rng, (bid, ask, bid - tick, ask + tick), weights)
            price = min(max(price, 1), 9_999)
            size, side = one_of(rng, SIZES), pick(rng, (1, -1), (1, 1))
            trades.append(
                at | {"trade_id": f"{n}", "price": price, "quantity": size, "taker_side": side}
            )
    return table(books, BOOKS), table(trades, TRADES)


def table(rows: list[dict[str, Any]], declared: Any) -> pl.DataFrame:
    schema = declared.columns
    plain = {name: pl.Int64 if name == "time" else dtype for name, dtype in schema.items()}
    made = pl.DataFrame(rows, schema=plain, orient="row")
    return made.with_columns(pl.col("time").cast(schema["time"])).sort(declared.key)


def random_book_case(rng: Rng, *, markets: int = 2, bars: int = 24) -> Case:
    """Draw a case of `markets` markets with up to `bars` moments each, both at least 1."""
    cash = pick(rng, (3, 40, 1_000), (1, 2, 3)) * DOLLAR
    pinched = odds(rng, 0.15)
    feature = "books" if pinched else pick(rng, ("pauses", "passive", None), (1, 4, 5))
    scene = draw_scene(rng, markets, bars, pinched=pinched, feature=feature)
    scene = replace(scene, sticky=not pinched and odds(rng, 0.35))
    listed, settlements = draw_markets(scene, markets)
    lean = None
    if odds(rng, 0.15):
        listed, settlements, lean = draw_structure(scene, listed, settlements)
    books, trades = draw_records(scene)
    rules = draw_rules(rng, scene.step, cash, "books")
    rules = replace(rules, collateral=lean is not None)
    fill = FILLS["book"]
    if odds(rng, 0.6):
        fill = replace(
            fill,
            touch_share=pick(rng, (0.5, 1.0), (1, 1)),
            participation=pick(rng, (None, 0.25, 1.0), (2, 1, 1)),
            stop_first=odds(rng, 0.5),
            prints=odds(rng, 0.8),
            queue=odds(rng, 0.7),
            exchange=draw_exchange(rng) if odds(rng, 0.2) else None,
        )
    if odds(rng, 0.08):  # the rows as bars
        fill = replace(draw_fill(rng, None), queue=False)
    scale = 1_000 if pinched else 1
    intents = draw_intents(scene, scale, queue=not scene.sticky or odds(rng, 0.5), lean=lean)
    if not pinched and odds(rng, 0.5):  # decided between two rows of the record
        late = pl.Series(rng.choice([0, scene.step // 3], intents.height))
        later = pl.col("time") + pl.duration(microseconds=late)
        intents = intents.with_columns(time=later.cast(INTENTS.columns["time"]))
        intents = intents.sort("time", "market")
    # A market can be decided on once something of it is recorded, if that was before its close.
    paid = settlements.select("ticker", actual="close_time", paid="time")
    close = pl.min_horizontal(pl.coalesce("actual", "close_time"), "paid")
    ends = listed.join(paid, on="ticker", how="left").select("ticker", close=close)
    first = pl.concat([books.select("ticker", "time"), trades.select("ticker", "time")])
    first = first.join(ends, on="ticker")
    first = first.filter((pl.col("time") <= pl.col("close")).fill_null(value=True))
    first = first.group_by("ticker").agg(first=pl.col("time").min())
    owner = listed.select("ticker").with_row_index("market").join(first, on="ticker")
    intents = intents.join(owner, on="market", maintain_order="left")
    intents = intents.filter(pl.col("time") >= pl.col("first")).select(list(INTENTS.columns))
    case = Case(
        bars=BARS.empty(),
        markets=listed,
        settlements=settlements,
        rates=draw_rates(scene, markets),
        intents=intents,
        rules=replace(rules, fill=fill),
        books=books,
        trades=trades,
    )
    if odds(rng, 0.3):
        case = replace(case, determinations=draw_determinations(scene, listed, settlements))
    return pinch(case, rng) if pinched else case


@lru_cache(maxsize=1_024)
def kept_case(seed: int, feature: str | None = None) -> Case:
    """Draw a case that several tests play, each under rules of its own, once."""
    rng = seeded(seed)
    return random_book_case(rng) if feature == "books" else random_case(rng, feature=feature)


def book_cases(markets: int = 2, bars: int = 24) -> st.SearchStrategy[Case]:
    """Return a hypothesis strategy of cases, which shrinks to few markets and few moments."""
    return st.builds(
        lambda seed, m, b: random_book_case(seeded(seed), markets=m, bars=b),
        st.integers(0, 2**63 - 1),
        st.integers(1, markets),
        st.integers(1, bars),
    )
