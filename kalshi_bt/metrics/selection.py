"""Whether the best of the variants that were tried is more than luck, by what each made a day."""

import math
from typing import Final

import numpy as np

from kalshi_bt.metrics.arrays import Floats
from kalshi_bt.metrics.book import Book, Metric, Undefined, Value
from kalshi_bt.metrics.overfitting import pbo, superior_predictive_ability
from kalshi_bt.metrics.track_record import LEAST
from kalshi_bt.units import MONEY_SCALE

BLOCKS: Final = 16  # of whole days, at most: 12,870 splits
ALONE = "no other variant with the same days was tried before"


def variant_days(book: Book) -> Floats | Undefined:
    """Return the dollars each variant made of each day, (days, variants), or why there are none."""
    if len(book.trial_days) < 2:
        return Undefined(ALONE)
    found: Floats = np.array(book.trial_days, dtype=np.float64).T / MONEY_SCALE
    if len(found) < LEAST:
        return Undefined(f"fewer than {LEAST} days")
    return found


def _pbo(book: Book) -> Value:
    days = book.once(variant_days)
    if isinstance(days, Undefined):
        return days
    unlike = np.unique(days, axis=1)  # of two that did the same none is ever the better one
    if unlike.shape[1] < 2:
        return Undefined("every variant made the same of every day")
    return pbo(unlike, min(BLOCKS, len(days) // 2 * 2), "sharpe").pbo


def _spa(book: Book) -> Value:
    days = book.once(variant_days)
    if isinstance(days, Undefined):
        return days
    varied = days[:, np.ptp(days, axis=0) > 0]  # an idle variant is no better than doing nothing
    if not varied.size:
        return Undefined("no variant made more of one day than of another")
    ratios = varied / varied.std(axis=0)  # else the variant that staked most decides
    block, nothing = math.ceil(len(days) ** (1 / 3)), np.zeros(len(days))
    return superior_predictive_ability(nothing, -ratios, block_size=block).consistent


SELECTION: dict[str, Metric] = {
    "n_compared": Metric(
        lambda b: max(1, len(b.trial_days)),
        "trials",
        "trial",
        "Variants up to this one, itself included, with the same days: those that are compared.",
    ),
    "pbo": Metric(
        _pbo,
        "probability",
        "day",
        "How often the variant with the best daily Sharpe ratio in one half of the days is below "
        "the middle in the other half, over all ways to halve up to 16 blocks of days (CSCV).",
        "doi:10.21314/JCF.2016.322",
    ),
    "spa_p": Metric(
        _spa,
        "probability",
        "day",
        "How often the best daily Sharpe ratio of as many variants would be as high if none earned "
        "anything: test for superior predictive ability against not trading, consistent p-value, "
        "days resampled in blocks.",
        "doi:10.1198/073500105000000063",
    ),
}
