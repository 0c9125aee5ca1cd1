"""Whether a signal that learns from outcomes used only those that were known."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from kalshi_bt.lookahead.compare import Mask
from kalshi_bt.lookahead.finding import Finding
from kalshi_bt.lookahead.fitted import alike
from kalshi_bt.lookahead.sampling import spread
from kalshi_bt.lookahead.subject import Subject, copy
from kalshi_bt.lookahead.trial import Trial

_MARKETS = 200  # with whose outcomes a quick look at a fit is content
_SHARES = (0.5, 1.0, 0.25, 0.75)  # of the outcomes, known before the fits that are tried


def samples(trial: Trial) -> Finding | None:
    """Return the first sample for a fit that is another one when later rows are not there."""
    signal = trial.subject.signal
    whole = _samples(trial.subject, trial.quotes)
    moments = trial.quotes.select("ticker", "time")
    for past in (trial.times <= cut for cut in trial.cuts):
        if past.all() or not past.any():
            continue
        kept = moments.filter(pl.Series(past))
        expected = whole.join(kept, on=["ticker", "time"], how="semi")
        found = _samples(trial.subject, trial.quotes.filter(pl.Series(past)))
        if not found.equals(expected):
            return _unequal(expected, found, type(signal).__name__)
    return None


def _samples(subject: Subject, quotes: pl.DataFrame) -> pl.DataFrame:
    try:
        found = copy(subject.signal).samples(quotes.lazy()).collect()
    except Exception as error:  # noqa: BLE001 - a user's signal may raise anything
        raise subject.failure(error, quotes) from None
    named: pl.DataFrame = found.with_columns(pl.col("ticker").cast(quotes.schema["ticker"]))
    return named.sort(named.columns)


def _unequal(expected: pl.DataFrame, found: pl.DataFrame, name: str) -> Finding:
    """Return the earliest row that only one of two tables of samples has."""
    sides = [
        a.join(b, on=a.columns, how="anti", nulls_equal=True).with_columns(is_new=pl.lit(new))
        for a, b, new in ((expected, found, False), (found, expected, True))
    ]
    odd = pl.concat(sides).sort("time", "ticker", "is_new")
    row = odd.row(0, named=True)
    text = str({k: str(v) for k, v in row.items() if k != "is_new"})
    before, after = (None, text) if row["is_new"] else (text, None)
    change = f"later rows were removed before {name}.samples"
    place = (str(row["ticker"]), row["time"])
    return Finding("samples", "samples", *place, before, after, change, odd.height)


def fit(subject: Subject, history: pl.DataFrame, *, every: bool) -> Finding | None:
    """Return the first outcome, or sample, that a fit used before it was known.

    Parameters
    ----------
    subject : Subject
    history : frame
        Its samples with `payout` and `known_at`.
    every : bool
        Whether fits at several times are tried, or one, with part of the markets.
    """
    if not every:
        names = history["ticker"].unique().sort()
        some = names[spread(len(names))[:_MARKETS]]
        history = history.filter(pl.col("ticker").is_in(some.implode()))
    known = history["known_at"].drop_nulls().unique().sort()
    if len(known) < 2 or not hasattr(subject.signal, "refits"):
        return None
    shares = _SHARES if every else _SHARES[:1]
    times = [known[n] for n in sorted({max(int(s * (len(known) - 1)), 1) for s in shares})]
    usual = _fits(subject, history, times)
    for n, time in enumerate(times):
        known = (history["known_at"] >= time).to_numpy()
        seen = known & (history["time"] >= time).to_numpy()
        for change, later in ((_reversed, known), (_removed, seen)):
            refit = _Refit(subject, history, times[: n + 1], usual[n], change)
            if later.any() and refit.moves(later):
                return _culprit(refit, later)
    return None


def _fits(subject: Subject, history: pl.DataFrame, times: Sequence[datetime]) -> list[Any]:
    """Return the signals of successive fits."""
    try:
        made: Sequence[Any] = copy(subject.signal).refits(history.lazy(), list(times))
    except Exception as error:  # noqa: BLE001 - a user's signal may raise anything
        raise subject.failure(error, history) from None
    return [signal for _, signal in made]


def _reversed(history: pl.DataFrame, where: Mask) -> pl.DataFrame:
    """Return a history in which some markets ended the other way."""
    other = pl.when(pl.Series(where)).then(1 - pl.col("payout")).otherwise("payout")
    return history.with_columns(payout=other)


def _removed(history: pl.DataFrame, where: Mask) -> pl.DataFrame:
    """Return a history without some rows."""
    return history.filter(pl.Series(~where))


@dataclass(frozen=True)
class _Refit:
    """The last of successive fits, and one change of the history that must not matter to it."""

    subject: Subject
    history: pl.DataFrame
    times: Sequence[datetime]
    usual: Any
    change: Callable[[pl.DataFrame, Mask], pl.DataFrame]

    def moves(self, where: Mask) -> bool:
        """Whether the change of some rows makes it another fit."""
        other = _fits(self.subject, self.change(self.history, where), self.times)[-1]
        return not alike(self.usual, other)


def _culprit(refit: _Refit, later: Mask) -> Finding:
    """Return the first single market that changes a fit before it is known, by halving."""
    history = refit.history
    order = history.with_row_index().filter(pl.Series(later)).sort("known_at", "ticker", "time")
    markets = order["ticker"].unique(maintain_order=True)
    while len(markets) > 1:
        half = markets[: len(markets) // 2]
        where = later & history["ticker"].is_in(half.implode()).to_numpy()
        markets = half if refit.moves(where) else markets[len(markets) // 2 :]
    row = order.filter(pl.col("ticker") == markets[0]).row(0, named=True)
    ticker, moment = str(row["ticker"]), f"for the fit of {refit.times[-1]:%Y-%m-%d %H:%M}"
    if refit.change is _removed:
        change = f"its samples, of {row['time']:%Y-%m-%d %H:%M} and later, were removed {moment}"
        return Finding("fit", "samples", ticker, row["time"], None, None, change)
    change = f"its outcome, known at {row['known_at']:%Y-%m-%d %H:%M}, was reversed {moment}"
    told = (row["payout"], 1 - row["payout"])
    return Finding("fit", "payout", ticker, row["known_at"], *told, change)
