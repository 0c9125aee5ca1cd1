"""Invented quotes of leaderboard events whose boards, names and outcomes were recorded.

Boards are public for years, quotes of the contracts on them hardly at all. Here each event is about
recorded boards: who is listed is who led when it opened, and it is settled by a `ResolutionRule` on
the board at its check. Only what traders believed in between is made up, so that nothing a run
earns on it was ever there to be earned: series begin with SYN and every title says "synthetic".

**Belief.** With s_i the newest score of listed model i, e_i an AR(1) error of `ERROR` points with a
half-life of `HALF_LIFE` hours, and d days to the check, w_i = exp((s_i + e_i) / (POINTS·√(d + ¼)))
and q_i = (1 - u)·w_i / Σw with u = `UNLISTED`·d / (1 + d) for everything not listed. A model that
the newest board does not list has no weight. An organisation has the sum of its models. That is
nobody's model of the board, and in particular not the one of the signal.

Bid and ask stand around q as in `kalshi_bt.data.synthetic`: one to four cents apart, so that a
taker of a right belief loses the spread and the fee.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kalshi_bt import schema
from kalshi_bt.data import synthetic_paths as paths
from kalshi_bt.data.synthetic import LABEL
from kalshi_bt.errors import DataError, UsageError
from kalshi_bt.leaderboard_events import MAKERS, MODELS, Event, events_on
from kalshi_bt.signals.leaderboard_board import contracts, named, ranked, snapshots
from kalshi_bt.signals.leaderboard_rules import RULES, ResolutionRule
from kalshi_bt.units import PRICE_SCALE, RATE_SCALE

__all__ = ["MAKERS", "MODELS", "quoted_boards"]

PERIOD = 3_600  # seconds of a bar
POINTS, ERROR, HALF_LIFE, UNLISTED = 8.0, 6.0, 12.0, 0.05
_PAID = timedelta(hours=1)  # from the check to the payout
_RATES = (0.2, 0.6)  # chance of a trade in a sixth of a bar
_NUMBERS = {MODELS: 4, MAKERS: 5}  # of random streams; the sample has 1 to 3

Floats = NDArray[np.float64]


def quoted_boards(
    references: pl.DataFrame,
    *,
    seed: int = 0,
    days: int = 1,
    listed: int = 8,
    rule: str | ResolutionRule = "cascade",
) -> dict[str, pl.DataFrame]:
    """Return a dataset of invented quotes on recorded boards, as stored tables by their names.

    Every day has an event of models and one of organisations, checked at the time of day the rule
    states, if a board not older than two days was known both when it opened and at the check, and
    a later one shows that the recording went on.

    Parameters
    ----------
    references : frame of `schema.REFERENCES`
        With the board of the rule's source.
    seed : int
        Any whole number from 0, below 2^63. An event's rows depend on the seed and the boards up
        to its check alone.
    days : int
        From the opening of an event to its check, 1 to 60.
    listed : int
        Models listed by name, those with the highest scores at the opening; 2 to 50.
    rule : str or ResolutionRule
        Who is on top; of a period "at".

    Returns
    -------
    dict of str to DataFrame
        series, markets, settlements, candles (hours) and references (the board, its places and the
        names of the contracts, as the signal reads them).

    Raises
    ------
    UsageError
        If an argument is outside its range or there is no such rule.
    DataError
        If no event has the boards it needs.

    Examples
    --------
    >>> from datetime import UTC
    >>> rows = [("arena/text", name, "score", datetime(2026, 2, day, tzinfo=UTC), score, None)
    ...         for day in (1, 2, 3) for name, score in (("a-1", 1500.0), ("b-1", 1490.0))]
    >>> boards = pl.DataFrame(rows, schema=schema.REFERENCES.columns, orient="row")
    >>> quoted_boards(boards)["markets"]["event"].unique().sort().to_list()
    ['SYNLLM1-26FEB02', 'SYNTOPMODEL-26FEB02']
    """
    chosen = _checked(seed, days, listed, rule)
    board = snapshots(references, chosen.source)
    events = list(events_on(board, chosen, days, listed))
    if not events:
        raise DataError(
            f"no event of {days} days has a board of {chosen.source} at its opening and at its "
            "check; import boards that cover more days"
        )
    markets = _markets(events, exclusive=chosen.ties != "all")
    own = references.filter(source=chosen.source)
    places = ranked(board, max(listed, 10), chosen.source)
    known = pl.concat([own, places, contracts(markets), named(places, markets)])
    return {
        "series": _series(),
        "markets": markets,
        "settlements": _settlements(events),
        "candles": pl.concat(_candles(event, board, seed) for event in events).pipe(
            schema.CANDLES.filled
        ),
        "references": schema.REFERENCES.filled(known),
    }


def _checked(seed: int, days: int, listed: int, rule: str | ResolutionRule) -> ResolutionRule:
    if not 0 <= seed < 2**63:
        raise UsageError(f"seed is {seed}; expected 0 or more, below 2^63")
    for name, value, least, most in (("days", days, 1, 60), ("listed", listed, 2, 50)):
        if not least <= value <= most:
            raise UsageError(f"{name} is {value}; expected {least} to {most}")
    if isinstance(rule, str) and rule not in RULES:
        raise UsageError.unknown("resolution rule", rule, RULES)
    chosen = RULES[rule] if isinstance(rule, str) else rule
    if chosen.period != "at":
        raise UsageError(f"the rule counts {chosen.period} check; expected one that counts one")
    return chosen


def _belief(event: Event, board: pl.DataFrame, seed: int, moments: Sequence[datetime]) -> Floats:
    """Return what traders believe of each name at each moment, (names, moments)."""
    scores = _scores(event, board, moments)
    rng = paths.stream(seed, _NUMBERS[MODELS], event.check.toordinal(), paths.PLANT)
    keep = 2.0 ** (-1 / (HALF_LIFE * paths.STEPS))
    shocks = ERROR * rng.standard_normal(scores.shape)
    error = shocks.copy()
    for k in range(1, error.shape[1]):
        error[:, k] = keep * error[:, k - 1] + (1 - keep**2) ** 0.5 * shocks[:, k]
    left = np.array([(event.check - moment).total_seconds() / 86_400 for moment in moments])
    height = (scores + error) / (POINTS * np.sqrt(left + 0.25))
    there = ~np.isnan(scores)
    top = np.where(there, height, -np.inf).max(axis=0, initial=-np.inf)
    weight = np.where(
        there, np.exp(np.where(there, height - np.where(top > -np.inf, top, 0), 0)), 0
    )
    total = weight.sum(axis=0)
    known = (1 - UNLISTED * left / (1 + left)) * weight / np.where(total > 0, total, 1.0)
    believed = np.zeros((len(event.names), len(moments)))
    np.add.at(believed, np.array(event.owner), known)
    believed[-1] += 1 - known.sum(axis=0)
    return np.round(believed, 9)


def _scores(event: Event, board: pl.DataFrame, moments: Sequence[datetime]) -> Floats:
    """Return the newest score of each listed model at each moment; NaN if the board lacks it."""
    times = board["time"].unique().sort()
    at = times.search_sorted(pl.Series(moments, dtype=schema.Time), side="right") - 1
    own = board.filter(pl.col("model").is_in(list(event.listed))).select("time", "model", "score")
    wide = pl.DataFrame({"time": times}).join(
        own.pivot("model", index="time", values="score"), on="time", how="left"
    )
    table = np.array([wide.sort("time")[model].to_numpy() for model in event.listed])
    return np.asarray(table[:, at.to_numpy()], np.float64)


def _candles(event: Event, board: pl.DataFrame, seed: int) -> pl.DataFrame:
    bars = int((event.check - event.opens).total_seconds()) // PERIOD
    step = timedelta(seconds=PERIOD / paths.STEPS)
    q = _belief(event, board, seed, [event.opens + n * step for n in range(bars * paths.STEPS + 1)])
    key = (seed, _NUMBERS[event.series], event.check.toordinal())
    levels = paths.grid([(0, PRICE_SCALE, 100)])
    bid, ask = paths.book(q, levels, paths.stream(*key, paths.QUOTES))
    tape = paths.prints(q, bid, ask, _RATES, paths.stream(*key, paths.TRADES))
    columns = paths.bar_columns(bid, ask, tape)
    ends = [event.opens + timedelta(seconds=PERIOD * (n + 1)) for n in range(bars)]
    types = schema.CANDLES.columns
    empty = {"price": -1, "bid": 0, "ask": PRICE_SCALE}
    frame = pl.DataFrame({name: pl.Series(values) for name, values in columns.items()})
    return frame.with_columns(
        pl.Series("ticker", [ticker for ticker in event.tickers for _ in ends]),
        pl.Series("time", ends * len(event.names), dtype=schema.Time),
        pl.lit(PERIOD, dtype=pl.Int32).alias("period"),
        pl.lit("candle", dtype=schema.QuoteSource).alias("quote_source"),
        *(
            pl.when(pl.col(f"{side}_{part}") != null).then(f"{side}_{part}").cast(schema.Price)
            for side, null in empty.items()
            for part in schema.OHLC
        ),
    ).with_columns(pl.lit(None, dtype=types[name]).alias(name) for name in ("bid_size", "ask_size"))


def _markets(events: Sequence[Event], *, exclusive: bool) -> pl.DataFrame:
    rows = [
        (
            *(ticker, event.name, event.series),
            f"{name}: top of the board on {event.check:%Y-%m-%d}? ({LABEL})",
            *(event.opens, event.check),
            *(name, exclusive, False),
        )
        for event in events
        for ticker, name in zip(event.tickers, event.names, strict=True)
    ]
    names = ("ticker", "event", "series", "title", "open_time", "close_time", "subtitle")
    kinds = schema.MARKETS.columns
    types = {name: kinds[name] for name in (*names, "mutually_exclusive", "can_close_early")}
    return schema.MARKETS.filled(pl.DataFrame(rows, schema=types, orient="row"))


def _settlements(events: Sequence[Event]) -> pl.DataFrame:
    rows = [
        (ticker, event.check + _PAID, event.check, PRICE_SCALE * won, "yes" if won else "no")
        for event in events
        if event.won is not None
        for ticker, won in zip(event.tickers, event.won, strict=True)
    ]
    kinds = dict(list(schema.SETTLEMENTS.columns.items())[:5])
    return schema.SETTLEMENTS.filled(pl.DataFrame(rows, schema=kinds, orient="row"))


def _series() -> pl.DataFrame:
    kinds = {MODELS: "quadratic", MAKERS: "quadratic_with_maker_fees"}
    rows = [(name, 0, "Science and Technology", fee, RATE_SCALE) for name, fee in kinds.items()]
    types = dict(list(schema.SERIES.columns.items())[:5])
    return schema.SERIES.filled(pl.DataFrame(rows, schema=types, orient="row"))
