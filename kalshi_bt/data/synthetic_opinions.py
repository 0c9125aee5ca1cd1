"""Invented opinions on the synthetic sample: what a forecaster and a model say, right or not.

Every number is made here; none was said by anybody. Of a ladder (SYNHIGH) the forecaster knows the
walk X of `kalshi_bt.data.synthetic` every six hours and says

    mean = X_t + e·z,   sd = √(9·(1 - t) + e²),

of the markets of a game (SYNGAME) the model says every ten minutes, with p the truth,

    fair = p + 4·m·p(1 - p)·z,   cut to 0.01 … 0.99,

z standard normal, anew each time. With e = m = 0 both are right, and as the quotes of a sample with
nothing planted lie around the truth, nothing can be bought that is worth its price. An opinion that
was right grows old, though: whoever holds on to it trades against quotes that know better.
"""

from datetime import datetime, timedelta

import numpy as np
import polars as pl

from kalshi_bt import schema
from kalshi_bt.data import synthetic
from kalshi_bt.data import synthetic_paths as paths
from kalshi_bt.errors import UsageError
from kalshi_bt.units import SECOND

__all__ = ["CONFIDENCE", "opinions"]

CONFIDENCE = 0.8  # that the model states
_FORECAST, _VALUATION = 6 * 60, 10  # bars of a minute between two opinions
_TRAINED = synthetic.START - timedelta(days=90)
Rows = list[tuple[str, str, str, int, float]]


def opinions(
    seed: int = 0,
    *,
    days: int = synthetic.DAYS,
    temperature_error: float = 0.0,
    valuation_error: float = 0.0,
    cutoff: datetime = _TRAINED,
) -> pl.DataFrame:
    """Return opinions on the sample of a seed, as references that `event_value` reads.

    Parameters
    ----------
    seed, days : int
        As given to `synthetic.sample`.
    temperature_error : float
        e above, degrees; 0 to 50.
    valuation_error : float
        m above, dollars at p = 0.5; 0 to 1.
    cutoff : datetime
        End of the model's training, which it states with each valuation.

    Returns
    -------
    frame of `schema.REFERENCES`
        Sources ``forecast/temperature`` (symbol = event; mean, sd) and ``valuation`` (symbol =
        ticker; fair, confidence, cutoff in seconds since 1970).

    Raises
    ------
    UsageError
        If an argument is outside its range.

    Examples
    --------
    >>> sorted(opinions(days=1)["source"].unique())
    ['forecast/temperature', 'valuation']
    """
    for name, value, most in (
        ("temperature_error", temperature_error, 50.0),
        ("valuation_error", valuation_error, 1.0),
    ):
        if not 0 <= value <= most:
            raise UsageError(f"{name} is {value}; expected 0 to {most:g}")
    rows: Rows = []
    for event in synthetic.world(seed, days)[0]:
        if event.series is synthetic.LADDER:
            rows += _forecasts(event, seed, temperature_error)
        elif event.series is synthetic.GAME:
            rows += _valuations(event, seed, valuation_error, cutoff.timestamp())
    columns = ["source", "symbol", "field", "time", "value"]
    types = {name: schema.REFERENCES.columns[name] for name in columns}
    return schema.REFERENCES.filled(pl.DataFrame(rows, schema=types, orient="row"))


def _forecasts(event: synthetic.Event, seed: int, error: float) -> Rows:
    key = (seed, event.series.number, event.number)
    walk, _ = paths.ladder_walk(
        paths.stream(*key, paths.TRUTH), event.bars, paths.BRACKETS, paths.LADDER_SD
    )
    bars = np.arange(0, event.bars, _FORECAST)
    z = paths.stream(*key, paths.OPINIONS).standard_normal(bars.size)
    mean = np.round(walk[bars * paths.STEPS] + error * z, 9)
    sd = np.sqrt(paths.LADDER_SD**2 * (1 - bars / event.bars) + error**2)
    return [
        ("forecast/temperature", event.name, field, _time(event, bar), value)
        for field, values in (("mean", mean), ("sd", sd))
        for bar, value in zip(bars.tolist(), values.tolist(), strict=True)
    ]


def _valuations(event: synthetic.Event, seed: int, error: float, cutoff: float) -> Rows:
    key = (seed, event.series.number, event.number)
    count = event.truth.shape[1] // paths.STEPS
    bars = np.arange(0, count, _VALUATION)
    truth = event.truth[:, bars * paths.STEPS]
    z = paths.stream(*key, paths.OPINIONS).standard_normal((1, bars.size))
    z = np.concatenate([z, -z])  # what is said of one team is said of the other
    fair = np.round(np.clip(truth + 4 * error * truth * (1 - truth) * z, 0.01, 0.99), 9)
    said = {"confidence": CONFIDENCE, "cutoff": cutoff}
    return [
        ("valuation", ticker, field, _time(event, bar), said.get(field, p))
        for ticker, values in zip(event.tickers, fair, strict=True)
        for bar, p in zip(bars.tolist(), values.tolist(), strict=True)
        for field in ("fair", "confidence", "cutoff")
    ]


def _time(event: synthetic.Event, bar: int) -> int:
    return event.open_time + bar * synthetic.PERIOD * SECOND
