"""From an opinion to an intent: how much of the equity, at which price, for how long."""

from dataclasses import dataclass

import polars as pl

from kalshi_bt import schema
from kalshi_bt.errors import UsageError
from kalshi_bt.units import PRICE_SCALE


def _price(column: str) -> pl.Expr:
    return (pl.col(column) * PRICE_SCALE).round().cast(schema.Price)


def _optional(columns: set[str], name: str) -> pl.Expr:
    return pl.col(name) if name in columns else pl.lit(None, dtype=schema.SIGNALS[name]).alias(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskToStop:
    """A fixed fraction of equity is lost if the stop is hit at its price.

    Parameters
    ----------
    risk : float
        Fraction of equity at risk, above 0, at most 1.
    valid_bars : int
        Bars an entry rests before it expires, at least 1.

    Examples
    --------
    >>> RiskToStop(risk=0.01)
    RiskToStop(risk=0.01, valid_bars=1)
    """

    risk: float = 0.02
    valid_bars: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.risk <= 1:
            raise UsageError(f"risk is {self.risk}; expected above 0, at most 1")
        if self.valid_bars < 1:
            raise UsageError(f"valid_bars is {self.valid_bars}; expected at least 1")

    def __call__(self, setups: pl.LazyFrame) -> pl.LazyFrame:
        """Return one intent (`schema.INTENTS`) for each row that has a side.

        Parameters
        ----------
        setups : frame
            `market`, `time`, and the columns of `schema.SIGNALS` that describe a set-up; a null
            `side` is no set-up.
        """
        columns = set(setups.collect_schema().names())
        stop_entry = _optional(columns, "entry_stop").fill_null(value=False)
        kind = (
            pl.when(pl.col("side") == 0)
            .then(pl.lit("ioc"))
            .when(stop_entry)
            .then(pl.lit("stop"))
            .otherwise(pl.lit("limit"))
        )
        empty = {
            name: pl.lit(None, dtype=schema.INTENTS.columns[name])
            for name in ("reward", "quantity", "stake")
        }
        return (
            setups.filter(pl.col("side").is_not_null())
            .with_columns(
                kind=kind.cast(schema.EntryKind),
                limit=_price("entry"),
                stop=_price("stop"),
                target=_price("target"),
                risk=pl.lit(self.risk),
                valid_bars=pl.lit(self.valid_bars, dtype=pl.Int32),
                exit_time=_optional(columns, "exit_time"),
                fair=_optional(columns, "fair"),
                confidence=_optional(columns, "confidence"),
                **empty,
            )
            .select(list(schema.INTENTS.columns))
            .sort("time", "market")
        )
