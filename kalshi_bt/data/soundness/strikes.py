"""Rules on outcomes: one YES an event, results that follow from values and strikes."""

import polars as pl

from kalshi_bt.data.soundness.rows import Rows
from kalshi_bt.data.soundness.rule import Rule, Severity, View
from kalshi_bt.data.validate import show
from kalshi_bt.units import PRICE_SCALE

_yes, _no = pl.col("result") == "yes", pl.col("result") == "no"
_floor, _cap, _value = pl.col("floor_strike"), pl.col("cap_strike"), pl.col("value")
_type = pl.col("strike_type")


def _events(rows: Rows) -> pl.LazyFrame:
    """Return events, what their markets agree on and what became of them."""
    above, below = (
        _type.is_in(["greater", "greater_or_equal"]),
        _type.is_in(["less", "less_or_equal"]),
    )
    return (
        rows.life()
        .group_by("event")
        .agg(
            pl.col("close").max(),
            pl.col("series").n_unique().alias("series"),
            pl.col("mutually_exclusive").n_unique().alias("kinds"),
            exclusive=pl.col("mutually_exclusive").all(ignore_nulls=False),
            markets=pl.len(),
            settled=pl.col("payout").count(),
            scalar=(pl.col("result") == "scalar").sum(),
            yes=_yes.sum(),
            paid=pl.col("payout").cast(pl.Int64).sum(),
            ladder=above.any() & below.any() & (above | below | (_type == "between")).all(),
            lowest_no=pl.when(above & _no).then(_floor).min(),
            highest_yes=pl.when(above & _yes).then(_floor).max(),
            highest_no=pl.when(below & _no).then(_cap).max(),
            lowest_yes=pl.when(below & _yes).then(_cap).min(),
        )
    )


def _outcomes(rows: Rows) -> pl.LazyFrame:
    """Return settled markets and whether their value lies where YES is paid."""
    inside = (
        pl.when(_type == "greater").then(_value > _floor)
        .when(_type == "greater_or_equal").then(_value >= _floor)
        .when(_type == "less").then(_value < _cap)
        .when(_type == "less_or_equal").then(_value <= _cap)
        .when(_type == "between").then(_value.is_between(_floor, _cap))
    )  # fmt: skip
    gap = pl.min_horizontal((_value - _floor).abs(), (_value - _cap).abs())
    return (
        rows.life()
        .filter(_yes | _no)
        .join(_last_digits(rows), on="series", how="left")
        .with_columns(inside=inside, near=(gap > 0) & (gap < pl.col("digit")))
    )


def _last_digits(rows: Rows) -> pl.LazyFrame:
    """Return the value of the last digit that the strikes of each series are stated to."""
    exponents = range(10)
    strikes = pl.concat(
        rows.life().select("series", strike=column) for column in ("floor_strike", "cap_strike")
    ).filter(pl.col("strike").is_not_null())
    strike = pl.col("strike")
    whole = ((strike * 10**n - (strike * 10**n).round()).abs() < 1e-4 for n in exponents)
    digit = pl.coalesce(
        pl.when(fits).then(10.0**-n) for n, fits in zip(exponents, whole, strict=True)
    )
    return strikes.group_by("series").agg(digit=digit.min())


def _windows(rows: Rows) -> pl.LazyFrame:
    """Return quarter hours of a series, each with the strike of the one that follows at once.

    The average that settles a window is the strike of the next.
    """
    quarter = pl.col("close_time") - pl.col("open_time") == pl.duration(minutes=15)
    windows = rows.life().filter(quarter, _type == "greater_or_equal")
    alone = windows.group_by("series", "open_time").agg(markets=pl.len())
    windows = windows.join(alone.filter(pl.col("markets") == 1), on=["series", "open_time"])
    following = windows.select("series", close_time="open_time", after=_floor)
    return windows.join(following, on=["series", "close_time"]).join(
        _last_digits(rows), on="series", how="left"
    )


EVENTS = View(("markets",), _events, batched=False)
OUTCOMES = View(("markets", "settlements"), _outcomes)
WINDOWS = View(("markets",), _windows, batched=False)

_whole = pl.col("exclusive") & (pl.col("markets") > 1) & (pl.col("settled") == pl.col("markets"))
_sum = pl.format("{} YES of {} markets ({} settled)", "yes", "markets", "settled")


def _event_rule(
    name: str, severity: Severity, meaning: str, fails: pl.Expr, asked: pl.Expr
) -> Rule:
    """Return a rule on what the markets of an event paid together."""
    table = "settlements"
    return Rule(name, severity, table, meaning, EVENTS, fails, _sum, asked, "event", "close")


RULES = (
    _event_rule(
        "several_yes",
        "error",
        "markets of an event that exclude each other pay more than one dollar together",
        pl.col("paid") > PRICE_SCALE,
        pl.col("exclusive") & (pl.col("settled") > 0),
    ),
    _event_rule(
        "ladder_without_yes",
        "error",
        "no market of a ladder without holes was YES",
        pl.col("paid") == 0,
        _whole & pl.col("ladder"),
    ),
    _event_rule(
        "no_yes",
        "warning",
        "all markets of an exclusive event were NO: one is not stored, or a result is wrong",
        pl.col("paid") == 0,
        _whole & ~pl.col("ladder"),
    ),
    Rule(
        "strikes_disagree",
        "error",
        "settlements",
        "YES was paid at a strike and NO at one that is easier to reach, in one event",
        EVENTS,
        (pl.col("highest_yes") >= pl.col("lowest_no"))
        | (pl.col("lowest_yes") <= pl.col("highest_no")),
        show("highest_yes", "lowest_no", "lowest_yes", "highest_no"),
        asked=(pl.col("highest_yes").is_not_null() & pl.col("lowest_no").is_not_null())
        | (pl.col("lowest_yes").is_not_null() & pl.col("highest_no").is_not_null()),
        subject="event",
        time="close",
    ),
    Rule(
        "event_disagrees",
        "error",
        "markets",
        "markets of one event differ in their series or in whether they exclude each other",
        EVENTS,
        (pl.col("series") > 1) | (pl.col("kinds") > 1),
        show("series", "kinds"),
        asked=pl.col("markets") > 1,
        subject="event",
        time="close",
    ),
    Rule(
        "result_against_value",
        "error",
        "settlements",
        "the result is not what the value says about the strikes",
        OUTCOMES,
        pl.col("inside") != _yes,
        show("strike_type", "floor_strike", "cap_strike", "value", "result"),
        asked=pl.col("inside").is_not_null() & ~pl.col("near"),
        time="paid",
    ),
    Rule(
        "strike_too_coarse",
        "warning",
        "settlements",
        "the result contradicts a value that differs from the strike by less than its last digit",
        OUTCOMES,
        pl.col("inside") != _yes,
        show("floor_strike", "cap_strike", "value", "result"),
        asked=pl.col("inside").is_not_null() & pl.col("near"),
        time="paid",
    ),
    Rule(
        "chain_broken",
        "error",
        "settlements",
        "the value that settled a quarter hour is not the strike of the next one",
        WINDOWS,
        (_value - pl.col("after")).abs() > pl.col("digit") * 1.001,
        show("value", "after"),
        asked=_value.is_not_null() & pl.col("after").is_not_null(),
        time="close_time",
    ),
    Rule(
        "result_against_next_strike",
        "error",
        "settlements",
        "the result of a quarter hour is not what its strike and the next one say",
        WINDOWS,
        (pl.col("after") > _floor) != _yes,
        show("floor_strike", "after", "result"),
        asked=(_yes | _no) & (pl.col("after") != _floor),
        time="close_time",
    ),
    Rule(
        "tie_paid_no",
        "warning",
        "settlements",
        "a quarter hour with the strike of the next was NO: ties are YES, or digits are cut off",
        WINDOWS,
        _no,
        show("floor_strike", "after", "result"),
        asked=(_yes | _no) & (pl.col("after") == _floor),
        time="close_time",
    ),
)
