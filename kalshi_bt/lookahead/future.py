"""What is said at a bar, with everything after it removed, or turned into another story."""

import numpy as np
import polars as pl

from kalshi_bt.lookahead.compare import Mask, earliest
from kalshi_bt.lookahead.finding import Finding
from kalshi_bt.lookahead.trial import MOVING, Trial

_STORIES = ("shuffled", "risen", "fallen")
_QUANTITY = 1_000_000.0


def truncate(trial: Trial) -> Finding | None:
    """Return the first opinion that is another one when later rows are not there."""
    return earliest(_without(trial, trial.times <= cut) for cut in trial.cuts)


def _without(trial: Trial, past: Mask) -> Finding | None:
    if past.all() or not past.any():
        return None
    said = trial.subject.says(trial.quotes.filter(pl.Series(past)))
    return trial.differs("truncate", "later rows were removed", past, said)


def perturb(trial: Trial) -> Finding | None:
    """Return the first opinion that is another one when later prices and outside series differ."""
    return earliest(_otherwise(trial, trial.times <= cut, n) for n, cut in enumerate(trial.cuts))


def _otherwise(trial: Trial, past: Mask, turn: int) -> Finding | None:
    if past.all():
        return None
    said = trial.subject.says(altered(trial, ~past, turn))
    change = "later prices, volumes and outside series were replaced"
    return trial.differs("perturb", change, np.ones(len(past), dtype=bool), said, rows=past)


def altered(trial: Trial, later: Mask, turn: int) -> pl.DataFrame:
    """Return the quotes with another story where `later`, of another kind for each event in turn.

    Shuffled: the later bars of such events change places. Risen and fallen: prices jump to one end
    and stay there, in large volume. What an outside series says is shuffled or not there.
    """
    quotes = trial.quotes
    code = quotes["event"].cast(pl.String).rank("dense").to_numpy().astype(np.int64)
    story = (code + turn) % len(_STORIES)
    rng = np.random.Generator(np.random.Philox(key=[turn, quotes.height]))
    rows = np.arange(quotes.height)
    for number in (0, 1):  # outside series of "risen" events change places as well
        mixed = np.flatnonzero(later & (story == number))
        rows[mixed] = rng.permutation(mixed)
    shuffled = quotes.select(*MOVING, *trial.outside)[rows]
    when = {name: pl.lit(pl.Series(later & (story == n))) for n, name in enumerate(_STORIES)}
    frame = quotes.with_columns(shuffled)
    return frame.with_columns(
        *(_told(quotes, name, when) for name in MOVING),
        *(
            pl.when(when["fallen"]).then(None).otherwise(pl.col(name)).alias(name)
            for name in trial.outside
        ),
    )


def _told(quotes: pl.DataFrame, name: str, when: dict[str, pl.Expr]) -> pl.Expr:
    """Return a column of the quotes at the end of a rise or a fall."""
    if name in {"volume", "open_interest", "bid_size", "ask_size"}:
        high = low = _QUANTITY
    else:
        away = -0.01 if name.startswith("bid") else 0.01 if name.startswith("ask") else 0.0
        high, low = round(0.98 + away, 2), round(0.02 + away, 2)
    value = pl.when(when["risen"]).then(high).when(when["fallen"]).then(low)
    return value.otherwise(pl.col(name)).cast(quotes.schema[name]).alias(name)
