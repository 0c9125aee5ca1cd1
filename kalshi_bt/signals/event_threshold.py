"""One threshold for what is worth trading: fixed, or lower where a market is good to trade."""

from dataclasses import dataclass

import polars as pl

from kalshi_bt.errors import UsageError
from kalshi_bt.units import over

__all__ = ["REFERENCE_COST", "Threshold", "candidates", "net_edges"]

REFERENCE_COST = 0.0035  # 15 + 20 basis points, whatever the price
_SMALLEST = 1e-9
_SLACK = 1e-12  # a difference of prices may miss a threshold by this


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """Least edge of a candidate, dollars of payout.

    Parameters
    ----------
    base : float
        Where the threshold is fixed, and the most it can be.
    fallback : float
        What fills up a decision time in which fewer than `min_candidates` reach `base`.
    min_candidates : int
        0: no filling up.
    adaptive : bool
        Whether confidence, volume and a narrow spread lower it, down to `floor`.
    floor : float
        The least it can be; never above the threshold it lowers.
    liquid_volume, wide_spread : float
        Contracts from which a market is fully liquid; spread (dollars) from which it is not at all.
    confidence_weight, volume_weight, spread_weight : float
        What each counts for, 0 to 1.

    Raises
    ------
    UsageError
        If a parameter is out of range.

    Examples
    --------
    >>> rule = Threshold(adaptive=True)
    >>> seen = pl.select(volume=1e4, spread=0.04, confidence=0.45)
    >>> seen.select(rule.least(pl.col("volume"), pl.col("spread"), pl.col("confidence"))).item()
    0.05433...
    """

    base: float = 0.08
    fallback: float = 0.02
    min_candidates: int = 0
    adaptive: bool = False
    floor: float = 0.01
    liquid_volume: float = 50_000.0
    wide_spread: float = 0.12
    confidence_weight: float = 0.20
    volume_weight: float = 0.55
    spread_weight: float = 0.25

    def __post_init__(self) -> None:
        for name in (
            *("base", "fallback", "floor"),
            *("confidence_weight", "volume_weight", "spread_weight"),
        ):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name} is {getattr(self, name)}; expected 0 to 1")
        if not self.liquid_volume > 0 or not self.wide_spread > 0 or self.min_candidates < 0:
            raise UsageError(
                f"liquid_volume is {self.liquid_volume}, wide_spread {self.wide_spread} and "
                f"min_candidates {self.min_candidates}; expected above 0, above 0, at least 0"
            )

    def quality(self, volume: pl.Expr, spread: pl.Expr, confidence: pl.Expr) -> pl.Expr:
        """Return how good a market is to trade, 0 to 1.

        Parameters
        ----------
        volume : expression
            Contracts; null: none known.
        spread : expression
            Dollars; null: not known, which counts half.
        confidence : expression
            0 to 1; null: none stated, which counts nothing.
        """
        liquid = over(volume, self.liquid_volume).clip(0.0, 1.0).fill_null(0.0)
        narrow = (1 - over(spread, self.wide_spread)).clip(0.0, 1.0).fill_null(0.5)
        sure = confidence.clip(0.0, 1.0).fill_null(0.0)
        total = max(self.confidence_weight + self.volume_weight + self.spread_weight, _SMALLEST)
        weighed = (
            self.confidence_weight * sure
            + self.volume_weight * liquid
            + self.spread_weight * narrow
        )
        return over(weighed, total).clip(0.0, 1.0)

    def least(
        self,
        volume: pl.Expr,
        spread: pl.Expr,
        confidence: pl.Expr,
        base: float | None = None,
    ) -> pl.Expr:
        """Return the least edge of a candidate.

        Parameters
        ----------
        volume, spread, confidence : expression
            As for `quality`.
        base : float, optional
            Another base, such as ``fallback``.
        """
        top = self.base if base is None else base
        if not self.adaptive:
            return pl.lit(top, dtype=pl.Float64)
        low = min(self.floor, top)
        return low + (top - low) * (1 - self.quality(volume, spread, confidence))


def net_edges(fair: pl.Expr, fee_rate: float) -> tuple[pl.Expr, pl.Expr]:
    """Return what buying YES at the ask and NO at the bid is worth after the fee, dollars.

    Null where that side of the book is empty.

    Parameters
    ----------
    fair : expression
        Probability of YES.
    fee_rate : float
        The fee of a contract at price p is this times p(1 - p), before rounding.

    Examples
    --------
    >>> book = pl.DataFrame({"bid": 0.4, "ask": 0.5})
    >>> book.select(pl.concat_list(net_edges(pl.lit(0.6), 0.07))).item().round(4).to_list()
    [0.0825, -0.2168]
    """
    ask, bid = pl.col("ask"), pl.col("bid")
    yes = fair - ask - fee_rate * ask * (1 - ask)
    no = bid - fair - fee_rate * bid * (1 - bid)
    return pl.when(ask > 0).then(yes), pl.when(bid < 1).then(no)


def candidates(valued: pl.LazyFrame, threshold: Threshold) -> pl.LazyFrame:
    """Return the documented candidates of each decision time, best edge first.

    The edge is the distance of `fair` from the mid less 0.35 cents. Where fewer than
    ``threshold.min_candidates`` reach the threshold, those that reach the fallback fill up.

    Parameters
    ----------
    valued : frame
        `time`, `ticker`, `fair`, `confidence`, `mid`, `volume` so far (contracts) and `spread`
        (dollars). Rows without a mid or a fair value are no candidates.

    Returns
    -------
    frame
        With `side` (+1 YES, -1 NO), `p` and `price` of that side, `edge`, and `relaxed`: whether
        only the fallback let it in.
    """
    told = (pl.col("volume"), pl.col("spread"), pl.col("confidence"))
    raw = pl.col("fair") - pl.col("mid")
    long = raw >= 0
    sided = valued.with_columns(
        side=pl.when(long).then(1).otherwise(-1).cast(pl.Int8),
        p=pl.when(long).then("fair").otherwise(1 - pl.col("fair")).clip(0.01, 0.99),
        price=pl.when(long).then("mid").otherwise(1 - pl.col("mid")).clip(0.01, 0.99),
        edge=raw.abs() - REFERENCE_COST,
        strict=threshold.least(*told),
        loose=threshold.least(*told, threshold.fallback),
    ).filter(raw.is_not_null())
    edge = pl.col("edge") + _SLACK
    ranked = sided.with_columns(relaxed=edge < pl.col("strict")).sort(
        "time", "relaxed", pl.col("edge").neg(), "ticker"
    )
    passes = ranked.filter(~pl.col("relaxed") | (edge >= pl.col("loose")))
    place = pl.int_range(pl.len()).over("time")
    kept = passes.filter(~pl.col("relaxed") | (place < threshold.min_candidates))
    return kept.drop("strict", "loose").sort("time", pl.col("edge").neg(), "ticker")
