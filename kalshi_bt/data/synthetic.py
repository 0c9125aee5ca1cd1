"""The synthetic sample: three invented series of known truth, in the stored tables.

No price, team or temperature here was ever real. Series begin with SYN and every title says
"synthetic". Shapes, ticks, fee types and settlement delays are those of the exchange; `days` days
from 2026-05-04, midnight US Eastern, in bars of 60 s.

**SYNBTC15M**, quarter hours of one day in five. Spot S is seen each second in whole cents and walks
S' = S·(1 + sigma·z); sigma is constant in a quarter hour and an AR(1) between them. With A the mean
of the 60 values of (t − 60 s, t], rounded half up to a cent, the strike is K = A(open) and YES pays
if A(close) >= K. With m = 60, T seconds left, n = min(T, m) values to come and P the sum of those
that count already,

    p = Φ((E − K + ½ cent)/√V),  E = (P + n·S)/m,
    V = (sigma·S)²·(max(T − m, 0) + n(n + 1)(2n + 1)/(6m²)).

**SYNGAME**, six games a day of four hours, two mirrored markets each. With t from 0 to 1 over the
game, x_0 = 0.8·z and x Brownian, p = Φ(x_t/√(1 − t)); the first team wins if x_1 >= 0. Game 1 ends
early, its outcome drawn by the rest of its own path; game 2 is cancelled and pays p of that moment
in whole cents (`scalar`); game 3 never gets a result.

**SYNHIGH**, one ladder a day of six exclusive brackets over 24 hours. With
X_t = X_0 + 3·W_t degrees Brownian and edges c_1 … c_5, bracket j has
p = Φ((c_{j+1} − X_t)/(3√(1 − t))) − Φ((c_j − X_t)/(3√(1 − t))), and X_1, rounded to a degree, is
the reading.

Each p is a martingale and ends as the payout. It moves every 10 s. Quotes stand around
q = p, or around what `Planted` makes of it, in this order, the first market of a game alone (the
second mirrors it) and brackets one by one, so that a planted ladder need not sum to one:

    stale:   q_t = p_{t − lag}, at the open p_0
    biased:  logit q = (1 − b)·logit q
    in error: q + 4·m·q(1 − q)·d,  d a standard AR(1) with a half-life of 5 bars, cut to [0, 1]

A market's spread is n = 1 … 4 ticks, evenly; with u, |u| <= (n − 1)/2 ticks, redrawn every half
hour, bid = floor(q + u − (n − 1)/2) and ask = bid + n on the tick grid. Hence bid <= q <= ask: with
nothing planted no taker has a positive expected profit. A side is empty where its price would
leave (0, 1), and at random in 0.4 % of the minutes. At most one trade each 10 s, with a chance that
is the market's own, buys at the ask where q is above the mid and sells at the bid where it is
below, so that resting one tick inside the spread does not pay on average either.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kalshi_bt import schema
from kalshi_bt.data import synthetic_paths as paths
from kalshi_bt.data.synthetic_paths import Floats, Ints, Planted
from kalshi_bt.errors import UsageError
from kalshi_bt.units import DAY, PRICE_SCALE, RATE_SCALE, SECOND

__all__ = ["FAIR", "LABEL", "PERIOD", "START", "SYMBOL", "Planted", "sample", "truth"]

LABEL = "synthetic"  # in every title
SYMBOL = "SYNBTC"  # of the reference series
FAIR = Planted()
START = datetime(2026, 5, 4, 4, tzinfo=UTC)  # midnight US Eastern
PERIOD = 60  # seconds
DAYS = 10
MAX_DAYS = 150  # the clocks change later
GAMES = 6  # a day
GAME_BARS, LADDER_BARS, QUARTER_BARS = 240, 1440, 15
EARLY, CANCELLED, UNSETTLED = 1, 2, 3  # games that end as real ones sometimes do
CUT_BARS = {EARLY: 170, CANCELLED: 120}
TEAMS = ("RED", "BLU", "GRN", "YLW", "ORG", "PUR", "WHT", "BLK", "GRY", "PNK", "BRN", "TEA")
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
EASTERN = ZoneInfo("America/New_York")
EPOCH = int(START.timestamp()) * SECOND

Columns = dict[str, NDArray[Any]]
Range = tuple[int, int, int]
CENTS: tuple[Range, ...] = ((0, PRICE_SCALE, 100),)
TAPERED: tuple[Range, ...] = ((0, 1_000, 10), (1_000, 9_000, 100), (9_000, PRICE_SCALE, 10))
Strike = tuple[str, float | None, float | None]  # type, floor, cap


@dataclass(frozen=True)
class _Series:
    """What the markets of a series share."""

    number: int  # of its random streams
    name: str
    category: str
    fee_type: str
    ranges: tuple[Range, ...]
    delay: int  # from close to settlement, microseconds
    trades: tuple[float, float]  # chance of a trade in 10 s, lowest and highest of its markets
    exclusive: bool
    mirrored: bool


UPDOWN = _Series(
    1, "SYNBTC15M", "Crypto", "quadratic", TAPERED, 6 * SECOND, (0.4, 0.9), False, False
)
GAME = _Series(
    2, "SYNGAME", "Sports", "quadratic_with_maker_fees", CENTS, 300 * SECOND, (0.1, 0.4), True, True
)
LADDER = _Series(
    3, "SYNHIGH", "Climate and Weather", "quadratic", CENTS, DAY // 3, (0.02, 0.12), True, False
)


@dataclass(frozen=True, eq=False)
class Event:
    """An event with its truth (k, n) up to the real close and the payouts (k,) or None."""

    series: _Series
    number: int
    name: str
    open_time: int
    bars: int  # as scheduled
    truth: Floats
    payouts: tuple[int, ...] | None
    tickers: tuple[str, ...]
    titles: tuple[str, ...]
    strikes: tuple[Strike, ...]

    @property
    def ends(self) -> Ints:
        """End of every bar until trading really ended."""
        bars = self.truth.shape[1] // paths.STEPS
        return self.open_time + np.arange(1, bars + 1) * PERIOD * SECOND


def _stamp(time: int, *, clock: bool = False) -> str:
    """Return US Eastern YYMONDD, with HHMM if `clock`, as tickers carry it."""
    local = datetime.fromtimestamp(time // SECOND, EASTERN)
    date = f"{local:%y}{MONTHS[local.month - 1]}{local:%d}"
    return f"{date}{local:%H%M}" if clock else date


def _paid(truth: Floats) -> tuple[int, ...]:
    """Return the payouts of markets whose last probability is 0 or 1."""
    return tuple(PRICE_SCALE * int(p) for p in truth[:, -1].tolist())


def _quarter(cents: Ints, sigma: float, number: int) -> Event:
    opens = EPOCH + number * QUARTER_BARS * PERIOD * SECOND
    path, strike = paths.updown_truth(cents, sigma, paths.WINDOW - 1 + number * paths.QUARTER)
    name = f"{UPDOWN.name}-{_stamp(opens + paths.QUARTER * SECOND, clock=True)}"
    return Event(
        UPDOWN, number, name, opens, QUARTER_BARS, path, _paid(path),
        (f"{name}-{name[-2:]}",),
        (f"SYNBTC up in the next 15 minutes? ({LABEL})",),
        (("greater_or_equal", strike / 100, None),),
    )  # fmt: skip


def _game(seed: int, number: int) -> Event:
    day, slot = divmod(number, GAMES)
    opens = EPOCH + day * DAY + (720 + 90 * slot) * PERIOD * SECOND
    path = paths.game_truth(paths.stream(seed, GAME.number, number, paths.TRUTH), GAME_BARS)
    payouts: tuple[int, ...] | None = None if number == UNSETTLED else _paid(path)
    path = path[:, : CUT_BARS.get(number, GAME_BARS) * paths.STEPS + 1]
    if number == CANCELLED:
        fair = 100 * min(max(round(100 * float(path[0, -1])), 1), 99)
        payouts = (fair, PRICE_SCALE - fair)
    away, home = (TEAMS[(2 * slot + day + side) % len(TEAMS)] for side in range(2))
    name = f"{GAME.name}-{_stamp(opens)}{away}{home}"
    return Event(
        GAME, number, name, opens, GAME_BARS, path, payouts,
        (f"{name}-{away}", f"{name}-{home}"),
        tuple(f"{away} at {home} winner? {team} ({LABEL})" for team in (away, home)),
        (("structured", None, None),) * 2,
    )  # fmt: skip


def _ladder(seed: int, number: int) -> Event:
    opens = EPOCH + number * DAY
    path, cap = paths.ladder_truth(
        paths.stream(seed, LADDER.number, number, paths.TRUTH), LADDER_BARS
    )
    name = f"{LADDER.name}-{_stamp(opens)}"
    last = cap + 2 * (len(path) - 2) - 1
    brackets: list[tuple[str, str, Strike]] = [
        (f"T{cap}", f"<{cap}°", ("less", None, float(cap))),
        *(
            (f"B{low}.5", f"{low}-{low + 1}°", ("between", float(low), low + 1.0))
            for low in range(cap, last, 2)
        ),
        (f"T{last}", f">{last}°", ("greater", float(last), None)),
    ]
    return Event(
        LADDER, number, name, opens, LADDER_BARS, path, _paid(path),
        tuple(f"{name}-{suffix}" for suffix, _, _ in brackets),
        tuple(f"Highest temperature {span}? ({LABEL})" for _, span, _ in brackets),
        tuple(strike for _, _, strike in brackets),
    )  # fmt: skip


def world(seed: int, days: int) -> tuple[list[Event], Ints]:
    """Return the events of a sample and the spot in cents, after checking its arguments."""
    if not 0 <= seed < 2**63:
        raise UsageError(f"seed is {seed}; expected 0 or more, below 2^63")
    if not 1 <= days <= MAX_DAYS:
        raise UsageError(f"days is {days}; expected 1 to {MAX_DAYS}")
    cents, sigmas = paths.spot_walk(seed, -(-days // 5))
    quarters = [_quarter(cents, sigma, n) for n, sigma in enumerate(sigmas.tolist())]
    games = [_game(seed, n) for n in range(days * GAMES)]
    return [*quarters, *games, *(_ladder(seed, n) for n in range(days))], cents


def _bar_index(event: Event) -> Columns:
    """Return market (its place in the event) and time of an event's bars, market after market."""
    markets = len(event.truth)
    places = np.repeat(np.arange(markets), event.ends.size)
    return {"market": places, "time": np.tile(event.ends, markets)}


def _market_rows(event: Event, seed: int, planted: Planted) -> tuple[Columns, Columns]:
    """Return the columns of an event's candles and trades."""
    key = (seed, event.series.number, event.number)
    believed = event.truth[:1] if event.series.mirrored else event.truth
    q = paths.quoted_probability(believed, planted, paths.stream(*key, paths.PLANT))
    if event.series.mirrored:
        q = np.concatenate([q, 1 - q])
    bid, ask = paths.book(q, paths.grid(event.series.ranges), paths.stream(*key, paths.QUOTES))
    tape = paths.prints(q, bid, ask, event.series.trades, paths.stream(*key, paths.TRADES))
    trades = paths.trade_columns(tape)
    trades["time"] += event.open_time
    return _bar_index(event) | paths.bar_columns(bid, ask, tape), trades


def _stack(events: list[Event], rows: Sequence[Columns], types: schema.Schema) -> pl.DataFrame:
    """Return the columns named in `types`, of all events, under their tickers."""
    tickers = pl.Series("ticker", [ticker for event in events for ticker in event.tickers])
    before = np.cumsum([0, *(len(event.tickers) for event in events)])
    place = np.concatenate([part["market"] + n for part, n in zip(rows, before[:-1], strict=True)])
    columns = (
        pl.Series(name, np.concatenate([part[name] for part in rows])).cast(types[name])
        for name in rows[0]
        if name != "market"
    )
    return pl.DataFrame([tickers.gather(place), *columns])


def _candles(events: list[Event], rows: Sequence[Columns]) -> pl.DataFrame:
    table = schema.CANDLES
    empty = {"price": -1, "bid": 0, "ask": PRICE_SCALE}
    return (
        _stack(events, rows, table.columns)
        .with_columns(
            pl.lit(PERIOD, dtype=pl.Int32).alias("period"),
            pl.lit("candle", dtype=schema.QuoteSource).alias("quote_source"),
            *(
                pl.when(pl.col(f"{side}_{part}") != null).then(f"{side}_{part}")
                for side, null in empty.items()
                for part in schema.OHLC
            ),
        )
        .pipe(table.filled)
    )


def _trades(events: list[Event], rows: Sequence[Columns]) -> pl.DataFrame:
    table = schema.TRADES
    count = pl.int_range(1, pl.len() + 1).over("ticker")
    return (
        _stack(events, rows, table.columns)
        .sort("ticker", "time")
        .with_columns(count.cast(pl.String).str.zfill(6).alias("trade_id"))
        .pipe(table.check)
    )


def _rows(table: schema.Table, rows: list[tuple[object, ...]]) -> pl.DataFrame:
    """Return the checked table of `rows`, first columns first, times in microseconds."""
    types = dict(list(table.columns.items())[: len(rows[0])])
    return table.filled(pl.DataFrame(rows, schema=types, orient="row"))


def _series() -> pl.DataFrame:
    since = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * SECOND
    return _rows(
        schema.SERIES,
        [(s.name, since, s.category, s.fee_type, RATE_SCALE) for s in (UPDOWN, GAME, LADDER)],
    )


def _markets(events: list[Event]) -> pl.DataFrame:
    rows: list[tuple[object, ...]] = []
    for e in events:
        close = e.open_time + e.bars * PERIOD * SECOND
        ranges = [dict(zip(("start", "end", "step"), r, strict=True)) for r in e.series.ranges]
        for ticker, title, strike in zip(e.tickers, e.titles, e.strikes, strict=True):
            known = (e.name, e.series.name, title, e.open_time, close)
            # What YES means stands in the title; there are no rules to read.
            said = (title, None, e.series is GAME)
            rows.append((ticker, *known, *strike, e.series.exclusive, ranges, *said))
    return _rows(schema.MARKETS, rows)


def _settlements(events: list[Event]) -> pl.DataFrame:
    results = {0: "no", PRICE_SCALE: "yes"}
    return _rows(
        schema.SETTLEMENTS,
        [
            (t, int(e.ends[-1]) + e.series.delay, int(e.ends[-1]), p, results.get(p, "scalar"))
            for e in events
            if e.payouts is not None
            for t, p in zip(e.tickers, e.payouts, strict=True)
        ],
    )


def _references(cents: Ints) -> pl.DataFrame:
    first = EPOCH - (paths.WINDOW - 1) * SECOND
    return schema.REFERENCES.filled(
        pl.DataFrame(
            {
                "time": pl.Series(first + np.arange(cents.size) * SECOND).cast(schema.Time),
                "value": cents / 100,
            }
        ).with_columns(source=pl.lit(LABEL), symbol=pl.lit(SYMBOL), field=pl.lit("close"))
    )


def sample(seed: int = 0, *, planted: Planted = FAIR, days: int = DAYS) -> dict[str, pl.DataFrame]:
    """Return the synthetic dataset as stored tables, keyed by their names.

    Parameters
    ----------
    seed : int
        Any whole number from 0; the same seed gives the same rows on every machine.
    planted : Planted
        What quotes get wrong. Truth, spot and outcomes of a seed do not depend on it.
    days : int
        Days from `START`, 1 to 150; quarter hours fill the first day in five, rounded up. A longer
        sample begins with the rows of a shorter one.

    Returns
    -------
    dict of str to DataFrame
        series, markets, settlements, candles, trades, references (`SYMBOL`, each second). A bid
        OHLC field is null where it would be 0, an ask field where it would be 10 000: the low bid
        of a minute is null if the side was empty at any moment of it.

    Raises
    ------
    UsageError
        If `seed` or `days` is outside its range.

    Examples
    --------
    >>> tables = sample(days=1)
    >>> sorted(tables)
    ['candles', 'markets', 'references', 'series', 'settlements', 'trades']
    >>> tables["markets"]["title"][0]
    'SYNBTC up in the next 15 minutes? (synthetic)'
    """
    events, cents = world(seed, days)
    candles, trades = zip(*(_market_rows(e, seed, planted) for e in events), strict=True)
    return {
        "series": _series(),
        "markets": _markets(events),
        "settlements": _settlements(events),
        "candles": _candles(events, candles),
        "trades": _trades(events, trades),
        "references": _references(cents),
    }


def truth(seed: int = 0, *, days: int = DAYS) -> pl.DataFrame:
    """Return the true probability of YES at the end of every bar of a sample.

    Parameters
    ----------
    seed, days : int
        As given to `sample`.

    Returns
    -------
    DataFrame
        ticker, time (end of the bar) and probability (Float64 in [0, 1]), one row for each candle
        and in the same order; at the close of a market that ran its course it is the payout.

    Raises
    ------
    UsageError
        If `seed` or `days` is outside its range.

    Examples
    --------
    >>> truth(days=1).columns
    ['ticker', 'time', 'probability']
    """
    events, _ = world(seed, days)
    rows = [
        _bar_index(e) | {"probability": e.truth[:, paths.STEPS :: paths.STEPS].ravel()}
        for e in events
    ]
    return _stack(events, rows, {"time": schema.Time, "probability": pl.Float64}).sort(
        "ticker", "time"
    )
