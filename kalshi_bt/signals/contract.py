"""What every signal must hold to. A check takes (signal, quotes) and raises AssertionError.

A test of an own signal runs each of `CHECKS` on `random_quotes.sample_quotes`, or simply
`check_signal`; ``kalshi-bt new-strategy`` writes such a test.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
from polars.testing import assert_frame_equal

from kalshi_bt.errors import DataError
from kalshi_bt.schema import QUOTES, SIGNALS
from kalshi_bt.signals import Signal, newest, reads
from kalshi_bt.signals.random_quotes import MOVING, sample_quotes

KEY = ["ticker", "time"]
IN_UNIT_INTERVAL = ("fair", "entry", "stop", "target", "confidence")
STATIC = ("ticker", "time", "event", "series", "quote_source")  # never null
Check = Callable[[Any, pl.DataFrame], None]


def demand(holds: object, otherwise: str) -> None:
    """Raise AssertionError unless something holds; ``assert`` would be deaf under ``python -O``."""
    if not holds:
        raise AssertionError(otherwise)


def run(signal: Signal, quotes: pl.DataFrame) -> pl.DataFrame:
    """Return the keys and what the signal says of them, in the order it returns."""
    said = signal(quotes.lazy()).collect()
    return said.select(*KEY, *[name for name in SIGNALS if name in said.columns])


def same(found: pl.DataFrame, expected: pl.DataFrame, what: str) -> None:
    """Demand the same rows; floats may differ by what a running sum loses."""
    try:
        assert_frame_equal(found.sort(KEY), expected.sort(KEY), rel_tol=0, abs_tol=1e-9)
    except AssertionError as error:
        raise AssertionError(f"{what}\n{error}") from None


def check_is_a_value(signal: Signal, quotes: pl.DataFrame) -> None:  # noqa: ARG001 - a check
    """Default-constructible, frozen, hashable, and its repr is itself."""
    cls: Any = type(signal)
    demand(isinstance(cls(), cls), "a signal needs defaults for all its parameters")
    demand(dataclasses.is_dataclass(signal), "a signal is a dataclass")
    for field in dataclasses.fields(cls):
        try:
            setattr(signal, field.name, getattr(signal, field.name))
        except AttributeError:
            continue
        raise AssertionError(f"{cls.__name__}.{field.name} can be assigned: not frozen")
    again = eval(repr(signal), {cls.__name__: cls})  # noqa: S307  # the repr of our own object
    demand(again == signal, f"eval(repr(signal)) gives {again!r}")
    demand(hash(again) == hash(signal), "equal signals have unequal hashes")
    demand(signal.lookback >= 1, f"lookback is {signal.lookback}")


def check_adds_declared_columns(signal: Signal, quotes: pl.DataFrame) -> None:
    """Demand the same rows in order, and only declared columns, their types and their ranges."""
    before = quotes.clone()
    lazy = signal(quotes.lazy())
    said = lazy.collect()
    assert_frame_equal(quotes, before)
    assert_frame_equal(said.select(quotes.columns), quotes)
    demand(lazy.collect_schema() == said.schema, "the lazy schema is not that of the result")
    added = {n: t for n, t in said.schema.items() if n not in quotes.columns}
    for name, dtype in added.items():
        demand(name in SIGNALS, f"{name} is not a declared column of a signal")
        demand(dtype == SIGNALS[name], f"{name} is {dtype}, declared {SIGNALS[name]}")
    demand("fair" in added or "side" in added, "a signal says fair or side")
    for name in IN_UNIT_INTERVAL:
        if name in added:
            outside = said.filter(~pl.col(name).is_between(0, 1) | pl.col(name).is_nan())
            demand(outside.is_empty(), f"{name} outside [0, 1]: {outside.head(1).rows()}")
    if "side" in added:
        demand(set(said["side"].drop_nulls()) <= {-1, 0, 1}, "a side is -1, 0 or 1")
    assert_frame_equal(signal(quotes.lazy()).collect(), said)


def check_causal(signal: Signal, quotes: pl.DataFrame) -> None:
    """Demand that what was said up to a time depends on nothing later, removed or changed."""
    whole = run(signal, quotes)
    for now in _moments(quotes):
        past = pl.col("time") <= now
        said = whole.filter(past)
        same(run(signal, quotes.filter(past)), said, f"depends on rows after {now}: removed")
        other = pl.concat([quotes.filter(past), _perturbed(quotes.filter(~past))])
        found = run(signal, other.sort(KEY)).filter(past)
        same(found, said, f"depends on rows after {now}: changed")


def check_isolated(signal: Signal, quotes: pl.DataFrame) -> None:
    """Demand that what is said of an event does not depend on other events."""
    whole = run(signal, quotes)
    for event in quotes["event"].unique().sort():
        own = quotes.filter(event=event)
        said = whole.join(own.select(KEY), on=KEY, how="semi")
        same(run(signal, own), said, f"{event} depends on other events")


def check_order_free(signal: Signal, quotes: pl.DataFrame) -> None:
    """Demand that the order of the rows means nothing, and is kept."""
    whole = run(signal, quotes)
    shuffled = quotes.sample(fraction=1, shuffle=True, seed=7)
    for frame in (shuffled, quotes.sort("time", "ticker"), quotes.reverse()):
        said = run(signal, frame)
        assert_frame_equal(said.select(KEY), frame.select(KEY))
        same(said, whole, "depends on the order of rows")


def check_tail(signal: Signal, quotes: pl.DataFrame) -> None:
    """Demand that the last `lookback` bars of each market suffice for its newest value."""
    whole = run(signal, quotes)
    for now in _moments(quotes):
        past = quotes.filter(pl.col("time") <= now).sort(KEY)
        tail = past.group_by("ticker", maintain_order=True).tail(signal.lookback)
        last = past.group_by("ticker").agg(pl.col("time").max())
        said = run(signal, tail.select(quotes.columns)).join(last, on=KEY, how="semi")
        expected = whole.join(last, on=KEY, how="semi")
        same(said, expected, f"{signal.lookback} bars do not suffice at {now}")


def check_newest(signal: Signal, quotes: pl.DataFrame) -> None:
    """Demand that `newest` says of the newest bars what a call does, to the last bit."""
    for now in _moments(quotes):
        past = quotes.filter(pl.col("time") <= now)
        for frame in (past.sort(KEY), past.sample(fraction=1, shuffle=True, seed=5)):
            last = pl.col("time") == pl.col("time").max().over("ticker")
            expected = signal(frame.lazy()).collect().filter(last)
            found = newest(signal, frame.lazy()).collect()
            assert_frame_equal(found, expected, check_exact=True)
            lazy = newest(signal, frame.lazy()).collect_schema()
            demand(lazy == found.schema, "the lazy schema is not that of the newest bars")


def check_reads(signal: Signal, quotes: pl.DataFrame) -> None:
    """Demand that a signal that declares `reads` says the same when it is handed no more."""
    named = reads(signal)
    if named is None:
        return
    declared = set(named) | (set(quotes.columns) - set(QUOTES))  # those of outside series are asked
    handed = quotes.select(name for name in quotes.columns if name in declared)
    asked = [signal, lambda frame: newest(signal, frame), getattr(signal, "samples", signal)]
    for ask in asked:
        try:
            found = ask(handed.lazy()).collect()
        except (pl.exceptions.PolarsError, KeyError, DataError) as error:
            raise AssertionError(f"reads more than it declares: {error}") from None
        expected = ask(quotes.lazy()).collect()
        assert_frame_equal(found, expected.select(found.columns), check_exact=True)


def check_small_frames(signal: Signal, quotes: pl.DataFrame) -> None:
    """No row, one row, and rows in which all that may be null is null, are ordinary."""
    nothing = [name for name in QUOTES if name not in STATIC]
    nulls = quotes.with_columns(pl.lit(None, QUOTES[name]).alias(name) for name in nothing)
    for frame in (quotes.clear(), quotes.head(1), nulls.head(1), nulls):
        check_adds_declared_columns(signal, frame)
        check_newest(signal, frame)


CHECKS: tuple[Check, ...] = (
    check_is_a_value,
    check_adds_declared_columns,
    check_causal,
    check_isolated,
    check_order_free,
    check_tail,
    check_newest,
    check_reads,
    check_small_frames,
)


def check_signal(signal: Signal, seed: int = 1) -> None:
    """Hold a signal to the whole contract, on random quotes.

    Parameters
    ----------
    signal : Signal
    seed : int
        Of the quotes.

    Raises
    ------
    AssertionError
        At the first check that fails, with what was found.

    Examples
    --------
    >>> from kalshi_bt.signals.bollinger import Bollinger
    >>> check_signal(Bollinger(period=8))
    """
    quotes = sample_quotes(signal, seed)
    for check in CHECKS:
        check(signal, quotes)


def _moments(quotes: pl.DataFrame) -> list[Any]:
    """Return a few times at which to look: early, late and in between."""
    times = quotes["time"].unique().sort()
    if times.is_empty():
        return []
    at = sorted({int(share * (len(times) - 1)) for share in (0.1, 0.45, 0.7, 0.86, 0.97, 1.0)})
    return times.gather(at).to_list()


def _perturbed(quotes: pl.DataFrame) -> pl.DataFrame:
    """Other prices at the same times, still within [0, 1] and in the right order."""
    if quotes.is_empty():
        return quotes
    rng = np.random.Generator(np.random.Philox(key=[11, quotes.height]))
    moving = quotes.select(MOVING)[rng.permutation(quotes.height)]
    return quotes.with_columns(moving)
