"""Where fair values of events come from: recorded valuations, forecasts, and a rule of thumb.

A provider says which recorded columns it needs and turns them into a probability of YES and a
confidence, row by row. Nobody is asked anything while a backtest runs: what a model or a forecaster
said is data, with the time at which it was said.

==============================  ==========  ============================================
source                          symbol      fields
==============================  ==========  ============================================
``valuation``                   ticker      fair, confidence, cutoff (see `Provider`)
``forecast/temperature``        event       mean, sd (degrees, of what the market measures)
``enrichment``                  ticker      signal (-1 to 1)
==============================  ==========  ============================================
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import polars as pl

from kalshi_bt.distributions import normal_cdf
from kalshi_bt.signals.needs import Need

__all__ = [
    "ORDERS",
    "PROVIDERS",
    "Provider",
    "bracket_probability",
    "heuristic",
    "needs_of",
    "valued",
]

Opinion = tuple[pl.Expr, pl.Expr]
# Series of daily extremes, the synthetic one included.
_TEMPERATURE = "^(?:(?:KX)?(?:HIGH|LOW)T?[A-Z]{2,5}|SYNHIGH)$"
_SURE, _UNSURE = 0.62, 0.45
_LEAST, _MOST = 0.01, 0.99


@dataclass(frozen=True)
class Provider:
    """A source of fair values.

    Attributes
    ----------
    idea : str
        One sentence.
    needs : tuple of Need
        The columns it reads. The symbols ``{ticker}`` and ``{event}`` stand for those of the
        market. A column ``model_cutoff`` is in seconds since 1970.
    opinion : callable
        Returns the probability of YES, null where it has none, and the confidence in it.
    """

    idea: str
    needs: tuple[Need, ...]
    opinion: Callable[[], Opinion]


def bracket_probability(mean: pl.Expr, sd: pl.Expr) -> pl.Expr:
    """Return the probability that a whole number of degrees falls into a market's bracket.

    The temperature is normal before it is rounded to a degree, so that a strike counts from half a
    degree beyond it: brackets that leave no gap have probabilities that sum to 1.

    Parameters
    ----------
    mean, sd : expression
        Of the forecast, degrees; null, or an sd not above 0: null.

    Notes
    -----
    Reads strike_type (greater, greater_or_equal, less, less_or_equal, between), floor_strike and
    cap_strike. ``greater`` than 79 is 80 and more.

    Examples
    --------
    >>> market = pl.DataFrame({"strike_type": "greater", "floor_strike": 79.0, "cap_strike": None})
    >>> round(market.select(bracket_probability(pl.lit(80.0), pl.lit(2.0))).item(), 6)
    0.598706
    """
    kind, floor, cap = pl.col("strike_type"), pl.col("floor_strike"), pl.col("cap_strike")
    spread = pl.when(sd > 0).then(sd)
    # The number of degrees is at least `low` and at most `high`.
    low = pl.when(kind == "greater").then(floor + 1).otherwise(floor)
    high = pl.when(kind == "less").then(cap - 1).otherwise(cap)
    upward = kind.is_in(["greater", "greater_or_equal"])
    downward = kind.is_in(["less", "less_or_equal"])
    between = (kind == "between") & (low <= high)
    below, above = (low - 0.5 - mean) / spread, (mean - high - 0.5) / spread
    # One distribution function a row, and a second one of brackets that are closed on both sides.
    first = _normal_cdf(
        pl.when(upward).then(-below).when(downward).then(-above).when(between).then(below)
    )
    second = _normal_cdf(pl.when(between).then(above))
    return pl.when(between).then((1 - first - second).clip(0.0, 1.0)).otherwise(first)


def heuristic(signal: pl.Expr) -> Opinion:
    """Return the documented rule of thumb: the mid, shifted by up to eight cents.

    Parameters
    ----------
    signal : expression
        -1 to 1; null: none, which leaves the mid at a lower confidence.

    Notes
    -----
    With 0.35 cents of cost no edge above 7.65 cents can come of it, which is less than the
    documented threshold of 8: alone it never makes a candidate.
    """
    bias = (0.08 * signal.clip(-1.0, 1.0)).clip(-0.15, 0.15)
    fair = (pl.col("mid") + bias.fill_null(0.0)).clip(_LEAST, _MOST)
    return fair, pl.when(signal.is_not_null()).then(_SURE).otherwise(_UNSURE)


def _model() -> Opinion:
    """Return what a model said, if it cannot have learnt how the story ended."""
    fair, cutoff = _number("model_fair"), _number("model_cutoff")
    honest = pl.col("time").dt.epoch("us") > cutoff * 1_000_000
    sane = honest & fair.is_between(0, 1)
    sure = _number("model_confidence").clip(0.0, 1.0).fill_null(_UNSURE)
    return pl.when(sane).then(fair.clip(_LEAST, _MOST)), sure


def _weather() -> Opinion:
    p = bracket_probability(_number("temperature_mean"), _number("temperature_sd"))
    own = pl.col("series").str.contains(_TEMPERATURE)
    fair = pl.when(own).then(p.clip(_LEAST, _MOST))
    return fair, pl.lit(_SURE)


def _heuristic() -> Opinion:
    return heuristic(_number("event_signal"))


PROVIDERS: Final[Mapping[str, Provider]] = {
    "model": Provider(
        "What a model said of the market, if it was trained on nothing this late.",
        (
            Need("model_fair", "valuation", "{ticker}", "fair"),
            Need("model_confidence", "valuation", "{ticker}", "confidence"),
            Need("model_cutoff", "valuation", "{ticker}", "cutoff"),
        ),
        _model,
    ),
    "weather": Provider(
        "The chance of a temperature bracket under a normal forecast.",
        (
            Need("temperature_mean", "forecast/temperature", "{event}", "mean"),
            Need("temperature_sd", "forecast/temperature", "{event}", "sd"),
        ),
        _weather,
    ),
    "heuristic": Provider(
        "The mid, shifted by a recorded signal.",
        (Need("event_signal", "enrichment", "{ticker}", "signal"),),
        _heuristic,
    ),
}
# Who is asked in turn; the rule of thumb never stands in unless it is called for.
ORDERS: Final[Mapping[str, tuple[str, ...]]] = {
    "recorded": ("model", "weather"),
    "any": ("model", "weather", "heuristic"),
    **{name: (name,) for name in PROVIDERS},
}


def needs_of(order: str, ages: Mapping[str, int]) -> tuple[Need, ...]:
    """Return the columns that an order of providers reads, none older than its provider allows.

    Parameters
    ----------
    order : str
        One of `ORDERS`.
    ages : mapping
        Seconds by provider.

    Examples
    --------
    >>> [need.column for need in needs_of("weather", {"weather": 3_600})]
    ['temperature_mean', 'temperature_sd']
    """
    return tuple(
        replace(need, max_age_seconds=ages.get(name))
        for name in ORDERS[order]
        for need in PROVIDERS[name].needs
    )


def valued(quotes: pl.LazyFrame, order: str) -> pl.LazyFrame:
    """Return `quotes` with fair and confidence of the first provider that has an opinion.

    Parameters
    ----------
    quotes : frame
        With the columns the providers need.
    order : str
        One of `ORDERS`.
    """
    opinions = {f"__fair_{name}": PROVIDERS[name].opinion() for name in ORDERS[order]}
    told = quotes.with_columns(p.alias(name) for name, (p, _) in opinions.items())
    sure = (
        pl.when(pl.col(name).is_not_null()).then(confidence)
        for name, (_, confidence) in opinions.items()
    )
    both = told.with_columns(fair=pl.coalesce(*opinions), confidence=pl.coalesce(*sure))
    return both.drop(*opinions)


def _number(column: str) -> pl.Expr:
    number = pl.col(column).cast(pl.Float64)
    return pl.when(number.is_finite()).then(number)


def _normal_cdf(z: pl.Expr) -> pl.Expr:
    return z.map_batches(_cdf, return_dtype=pl.Float64, is_elementwise=True)


def _cdf(z: pl.Series) -> pl.Series:
    """Return the normal distribution function, to the last digit even far out."""
    known = z.cast(pl.Float64).fill_null(math.nan).to_numpy()
    return pl.Series(z.name, normal_cdf(known), pl.Float64).fill_nan(None)
