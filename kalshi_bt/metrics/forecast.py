"""How good the probabilities were that a signal stated, and those of the price beside them.

Every number is of one forecast a market, the first with both sides quoted, and of the same markets
for both; near the close every forecast looks good, so moments are never mixed.
"""

from collections.abc import Callable
from dataclasses import asdict

from kalshi_bt.errors import UsageError
from kalshi_bt.metrics.arrays import Codes, Floats
from kalshi_bt.metrics.book import Book, Metric, Undefined, Value
from kalshi_bt.metrics.opinions import PRICE, SIGNAL, Opinions, first_opinions
from kalshi_bt.metrics.recalibration import cox_recalibration, mincer_zarnowitz
from kalshi_bt.metrics.scoring import brier_decomposition, corp, log_loss

BINS = 10  # of the decomposition and of the reliability table

_STEPHENSON = "doi:10.1175/2007WAF2006116.1"
_CORP = "doi:10.1073/pnas.2016191118"
_BRIER = "doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2"
_GOOD = "doi:10.1111/j.2517-6161.1952.tb00104.x"
_COX = "doi:10.1093/biomet/45.3-4.562"
_MZ = "https://www.nber.org/chapters/c1214"
_SKILL = "doi:10.1175/1520-0493(1988)116<2417:SSBOTM>2.0.CO;2"

# name: (unit, definition, reference); the same of the signal and, with `_price`, of the price
PARTS: dict[str, tuple[str, str, str]] = {
    "brier": ("score", "Mean squared distance of {} from the outcome; 0 is perfect.", _BRIER),
    "reliability": (
        "score",
        "Mean squared distance of {} from what happened, by ten bins; 0 is calibrated.",
        _STEPHENSON,
    ),
    "resolution": (
        "score",
        "Variance over ten bins of {} of the rates of YES; large tells outcomes apart.",
        _STEPHENSON,
    ),
    "within_bin_variance": (
        "score",
        "Variance of {} within ten bins, which the Brier score contains.",
        _STEPHENSON,
    ),
    "within_bin_covariance": (
        "score",
        "Twice the covariance of {} with outcomes within ten bins, which lowers the Brier score.",
        _STEPHENSON,
    ),
    "log_loss": (
        "score",
        "Mean of the negative logarithm of {} for what happened, kept half a cent from 0 and 1.",
        _GOOD,
    ),
    "miscalibration": (
        "score",
        "Brier score that the best monotone recalibration of {} would save, on the same data.",
        _CORP,
    ),
    "discrimination": (
        "score",
        "Brier score that {}, recalibrated, saves against always saying the rate of YES.",
        _CORP,
    ),
    "log_miscalibration": (
        "score",
        "Log loss that the best monotone recalibration of {} would save, on the same data.",
        _CORP,
    ),
    "log_discrimination": (
        "score",
        "Log loss that {}, recalibrated, saves against always saying the rate of YES.",
        _CORP,
    ),
    "cox_intercept": (
        "log odds",
        "Intercept of the logistic regression of outcomes on the log odds of {}; 0 is calibrated.",
        _COX,
    ),
    "cox_slope": (
        "ratio",
        "Slope of the logistic regression of outcomes on log odds of {}; below 1: overconfident.",
        _COX,
    ),
    "mincer_zarnowitz_p": (
        "probability",
        "How often a calibrated forecast would be as far from y = p as {}; errors by cluster.",
        _MZ,
    ),
}
WORDS = {SIGNAL: "the stated probability", PRICE: "the middle of the quotes"}


def parts(forecast: Floats, outcome: Floats, cluster: Codes) -> dict[str, Value]:
    """Return what `PARTS` names of forecasts and binary outcomes, and their uncertainty.

    Examples
    --------
    >>> import numpy as np
    >>> found = parts(np.array([0.2, 0.8]), np.array([0.0, 1.0]), np.array([0, 1]))
    >>> round(found["brier"], 6), found["uncertainty"], found["cox_slope"].reason
    (0.04, 0.25, 'forecast has 2 values; expected 3 or more')
    """
    split, logs = corp(forecast, outcome), corp(forecast, outcome, "log")
    return {
        **asdict(brier_decomposition(forecast, outcome, bins=BINS)),
        "log_loss": log_loss(forecast, outcome),
        "miscalibration": split.miscalibration,
        "discrimination": split.discrimination,
        "log_miscalibration": logs.miscalibration,
        "log_discrimination": logs.discrimination,
        "log_uncertainty": logs.uncertainty,
        **_regressed(forecast, outcome, cluster),
    }


def _regressed(forecast: Floats, outcome: Floats, cluster: Codes) -> dict[str, Value]:
    found: dict[str, Value] = {}
    try:
        cox = cox_recalibration(forecast, outcome)
        found |= {"cox_intercept": cox.intercept, "cox_slope": cox.slope}
    except UsageError as error:
        found |= dict.fromkeys(("cox_intercept", "cox_slope"), Undefined(str(error)))
    try:
        found["mincer_zarnowitz_p"] = mincer_zarnowitz(forecast, outcome, cluster).p_value
    except UsageError as error:
        found["mincer_zarnowitz_p"] = Undefined(str(error))
    return found


def parts_of(judged: Opinions, source: str) -> dict[str, Value] | Undefined:
    """Return `parts` of the signal or of the price, or why there are none."""
    forecast = judged.of(source)
    return (
        forecast
        if isinstance(forecast, Undefined)
        else parts(forecast, judged.outcome, judged.cluster)
    )


def _signal_parts(book: Book) -> dict[str, Value] | Undefined:
    return parts_of(book.once(first_opinions), SIGNAL)


def _price_parts(book: Book) -> dict[str, Value] | Undefined:
    return parts_of(book.once(first_opinions), PRICE)


_FOUND = {SIGNAL: _signal_parts, PRICE: _price_parts}


def _part(source: str, name: str) -> Callable[[Book], Value]:
    def function(book: Book) -> Value:
        found = book.once(_FOUND[source])
        return found if isinstance(found, Undefined) else found[name]

    return function


def _against(name: str, compare: Callable[[float, float], Value]) -> Callable[[Book], Value]:
    def function(book: Book) -> Value:
        ours, theirs = book.once(_signal_parts), book.once(_price_parts)
        if isinstance(ours, Undefined):
            return ours
        if isinstance(theirs, Undefined):
            return theirs
        mine, other = ours[name], theirs[name]
        assert not isinstance(mine, Undefined)
        assert not isinstance(other, Undefined)
        return compare(mine, other)

    return function


def saved(ours: float, theirs: float) -> Value:
    """Return the part of their loss that ours saves, or why no part can be saved."""
    return 1 - ours / theirs if theirs > 0 else Undefined("the price made no error to be saved")


def named(name: str, source: str) -> str:
    """Return the name of a metric of the signal or of the price."""
    return name if source == SIGNAL else f"{name}_price"


FORECAST: dict[str, Metric] = {
    "n_forecasts": Metric(
        lambda b: len(b.once(first_opinions).outcome),
        "markets",
        "market",
        "Markets whose first forecast is judged: quoted on both sides and paid 0 or 1.",
    ),
    "forecasts_scalar": Metric(
        lambda b: b.once(first_opinions).scalar,
        "markets",
        "market",
        "Markets left out because they paid a fraction.",
    ),
    "forecasts_unsettled": Metric(
        lambda b: b.once(first_opinions).unsettled,
        "markets",
        "market",
        "Markets left out because they were not settled in this data.",
    ),
    **{
        named(name, source): Metric(
            _part(source, name), unit, "market", doc.format(WORDS[source]), reference
        )
        for name, (unit, doc, reference) in PARTS.items()
        for source in (SIGNAL, PRICE)
    },
    "uncertainty": Metric(
        _part(PRICE, "uncertainty"),
        "score",
        "market",
        "Variance of the outcomes: the Brier score of always saying their mean.",
        _STEPHENSON,
    ),
    "log_uncertainty": Metric(
        _part(PRICE, "log_uncertainty"),
        "score",
        "market",
        "Entropy of the outcomes: the log loss of always saying their mean.",
        _CORP,
    ),
    "brier_difference": Metric(
        _against("brier", lambda ours, theirs: ours - theirs),
        "score",
        "market",
        "Brier score of the signal less that of the price on the same markets; below 0 it is "
        "better.",
        _BRIER,
    ),
    "brier_skill": Metric(
        _against("brier", saved),
        "fraction",
        "market",
        "Part of the Brier score of the price that the signal saves on the same markets.",
        _SKILL,
    ),
    "log_loss_skill": Metric(
        _against("log_loss", saved),
        "fraction",
        "market",
        "Part of the log loss of the price that the signal saves on the same markets.",
        _GOOD,
    ),
}
