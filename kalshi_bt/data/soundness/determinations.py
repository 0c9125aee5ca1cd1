"""Rules on what was said of results: steps that cannot be, payouts that differ, never paid."""

import polars as pl

from kalshi_bt.data.lifecycle import AFTER, FAULT, IMPOSSIBLE, judged, payouts
from kalshi_bt.data.soundness.life import UNSETTLED_DAYS
from kalshi_bt.data.soundness.rows import Rows
from kalshi_bt.data.soundness.rule import Rule, View
from kalshi_bt.data.validate import show
from kalshi_bt.schema import DETERMINATIONS

_KEY = list(DETERMINATIONS.key)
_status = pl.col("status").cast(pl.String)


def _steps(rows: Rows) -> pl.LazyFrame:
    """Return rows with their fault as a step, the payout before, and the life of their market."""
    life = rows.life().select("ticker", "ended", "paid", settled="payout")
    known = rows.scan("determinations").collect().sort(_KEY, maintain_order=True)
    last = pl.col("payout").forward_fill().shift().over("ticker", order_by="time")
    return judged(known).with_columns(earlier=last).lazy().join(life, on="ticker", how="left")


def _results(rows: Rows) -> pl.LazyFrame:
    """Return markets whose result was spoken of, as it stood last, and what they were paid."""
    known = rows.scan("determinations").collect().sort(_KEY, maintain_order=True)
    steps = judged(known).filter(pl.col(FAULT).is_null())
    last = steps.unique("ticker", keep="last", maintain_order=True)
    final = payouts(known).select("ticker", final="payout", finalized="time")
    life = rows.life().select("ticker", "paid", settled="payout")
    age = pl.lit(rows.end, dtype=pl.Datetime("us", "UTC")) - pl.col("time")
    return (
        last.drop(FAULT, AFTER)
        .join(final, on="ticker", how="left")
        .lazy()
        .join(life, on="ticker", how="left")
        .with_columns(age=age)
    )


STEPS = View(("determinations",), _steps)
RESULTS = View(("determinations",), _results)
_paid = pl.col("paid")

RULES = (
    Rule(
        "impossible_step",
        "error",
        "determinations",
        "a result cannot go from the state before it to this one",
        STEPS,
        pl.col(FAULT) == IMPOSSIBLE,
        pl.format("{} after {}", _status, AFTER),
        asked=pl.col(AFTER).is_not_null(),
    ),
    Rule(
        "determined_after_payout",
        "error",
        "determinations",
        "a result is determined, disputed or amended after it was paid",
        STEPS,
        pl.col("time") > _paid,
        pl.concat_str(_status, show("paid"), separator=", "),
        asked=_paid.is_not_null() & (_status != "finalized"),
    ),
    Rule(
        "close_after_determination",
        "warning",
        "determinations",
        "trading ended after the result was determined: the end of trading is late, or the time "
        "of the result early",
        STEPS,
        pl.col("ended") > pl.col("time"),
        show("ended"),
        asked=pl.col("ended").is_not_null(),
    ),
    Rule(
        "finalized_otherwise",
        "error",
        "determinations",
        "the payout a market was finalized with is not the one of its settlement",
        RESULTS,
        pl.col("final") != pl.col("settled"),
        show("final", "settled"),
        asked=pl.col("final").is_not_null() & pl.col("settled").is_not_null(),
        time="finalized",
    ),
    Rule(
        "finalized_without_settlement",
        "warning",
        "determinations",
        "a market was finalized and has no settlement: a backtest never pays it",
        RESULTS,
        _paid.is_null(),
        show("final"),
        asked=pl.col("final").is_not_null(),
        time="finalized",
    ),
    Rule(
        "never_paid",
        "warning",
        "determinations",
        f"a result was determined more than {UNSETTLED_DAYS} days before the data end, and never "
        "paid",
        RESULTS,
        _paid.is_null(),
        pl.concat_str(_status, show("payout"), separator=", "),
        asked=pl.col("final").is_null() & (pl.col("age") > pl.duration(days=UNSETTLED_DAYS)),
    ),
    Rule(
        "payout_amended",
        "note",
        "determinations",
        "the payout of a result changed after it was determined",
        STEPS,
        pl.col("payout") != pl.col("earlier"),
        show("earlier", "payout"),
        asked=pl.col("earlier").is_not_null() & pl.col(FAULT).is_null(),
    ),
)
