"""The longshot pipeline as it is documented, step by step and on whole columns.

Bouncer, quant agent, orchestrator, critic and paper broker, in rule mode. It reproduces a backtest
whose table of win rates holds the outcome of the very market it judges, and everything later; whose
entry price is the last one before the settlement; and which pays no fee. Its results are claims to
be measured, not results: `kalshi_bt.signals.longshot` is what replaces it.

Prices are counted to the nearest cent, rates to four decimals (half up), both on integers.
"""

from dataclasses import dataclass

import polars as pl

from kalshi_bt.errors import DataError, UsageError
from kalshi_bt.longshot_chain_files import settle
from kalshi_bt.longshot_chain_live import known_at_close
from kalshi_bt.longshot_chain_rules import KINDS, ChainRules, decide
from kalshi_bt.units import MONEY_SCALE

__all__ = ["Chain", "ChainRules", "backtest", "decide", "observations", "settle", "win_rates"]

_FOUR = 10_000  # rates in units of the fourth decimal
_KIND = {series: number for number, series in enumerate(KINDS)}


@dataclass(frozen=True)
class Chain:
    """What the chain did.

    Attributes
    ----------
    decisions : frame
        A row a market, in the order of their closes; `status` is BOUNCED, PASS, VETOED or APPROVED.
    trades : frame
        A row an approval: `longshot_chain_files.TRADES`.
    counters : dict
        processed, bounced, passed, vetoed, approved, settled.
    """

    decisions: pl.DataFrame
    trades: pl.DataFrame
    counters: dict[str, int]


def backtest(
    markets: pl.DataFrame,
    settlements: pl.DataFrame,
    trades: pl.LazyFrame,
    *,
    rules: ChainRules | None = None,
    candles: pl.LazyFrame | None = None,
    books: pl.LazyFrame | None = None,
    n: int = 2_000,
    bankroll: int = 1_000 * MONEY_SCALE,
    stake: int = 10 * MONEY_SCALE,
) -> Chain:
    """Return the decisions on the first `n` settled markets and what became of them.

    Parameters
    ----------
    markets, settlements : frame of schema.MARKETS, schema.SETTLEMENTS
    trades : frame of schema.TRADES
        Lazy; read three times, into a row a market, another, and a row a cent.
    rules : ChainRules, optional
    candles, books : frames of schema.CANDLES, schema.BOOKS, optional
        Lazy; open interest and depth as they were known when a market closed.
    n : int
        Markets with a result, by the time they closed.
    bankroll, stake : int
        Micro-dollars; the bankroll is not asked whether it can pay, and nobody asks for the stake
        where the rules stake by Kelly.

    Raises
    ------
    DataError
        If there is no trade of a settled market.
    UsageError
        If a number is not positive.
    """
    for name, number in (("n", n), ("bankroll", bankroll), ("stake", stake)):
        if number <= 0:
            raise UsageError(f"{name} is {number}; expected above 0")
    rules = rules or ChainRules()
    observed = observations(markets, settlements, trades, n)
    live = known_at_close(observed, trades, candles, books, longshot=rules.longshot)
    decided = decide(observed, win_rates(settlements, trades, rules.history), rules, live)
    staked = stake if rules.stake == "fixed" else _kelly_stake()
    made = settle(decided.filter(status="APPROVED"), bankroll, staked)
    if rules.open_concern is not None:
        decided = _exposed(decided, made, rules.open_concern)
    found = dict(decided["status"].value_counts().iter_rows())
    words = {"bounced": "BOUNCED", "passed": "PASS", "vetoed": "VETOED", "approved": "APPROVED"}
    counters = {"processed": decided.height} | {k: found.get(v, 0) for k, v in words.items()}
    return Chain(decided, made, counters | {"settled": made.height})


def _kelly_stake() -> pl.Expr:
    """Return `longshot_chain_rules.later_stake` of each approval."""
    wanted = (pl.col("kelly_fraction") * (1_000 * MONEY_SCALE)).round().cast(pl.Int64)
    return wanted.clip(2 * MONEY_SCALE, 20 * MONEY_SCALE)


def _exposed(decided: pl.DataFrame, made: pl.DataFrame, most: int) -> pl.DataFrame:
    """Add a concern where approvals for more than `most` dollars were open before a market's."""
    open_ = pl.col("settle_time") > pl.col("time")
    held = made.filter(open_).select("ticker", "settle_time", "cost")
    ended = held.group_by(time="settle_time").agg(back=pl.col("cost").sum()).sort("time")
    ended = ended.with_columns(pl.col("back").cum_sum())
    spent = held.select("ticker", "cost")
    known = decided.join(spent, on="ticker", how="left", maintain_order="left").join_asof(
        ended, on="time"
    )
    paid = pl.col("cost").fill_null(0)
    before = paid.cum_sum() - paid - pl.col("back").fill_null(0)
    large = pl.col("status").is_in(["VETOED", "APPROVED"]) & (before > most * MONEY_SCALE)
    text = pl.when(large).then(pl.lit(f"more than {most} dollars open"))
    concerns = pl.concat_list("concerns", text).list.drop_nulls()
    return known.with_columns(concerns=concerns).drop("cost", "back")


def observations(
    markets: pl.DataFrame, settlements: pl.DataFrame, trades: pl.LazyFrame, n: int
) -> pl.DataFrame:
    """Return the first `n` markets with a result, each at its last price.

    Returns
    -------
    frame
        ticker, event, series, title, rules, time (when trading ended), settle_time, result,
        yes_price (cents of the last trade, 1 to 99), sorted by (time, ticker).

    Raises
    ------
    DataError
        If there is none.
    """
    ended = settlements.filter(pl.col("result").is_in(["yes", "no"]))
    last = trades.group_by("ticker").agg(pl.col("price").sort_by("time", "trade_id").last())
    found = (
        ended.lazy()
        .select("ticker", "result", settle_time="time", time="close_time")
        .join(last, on="ticker")
        .with_columns(yes_price=_cents("price"))
        .filter(pl.col("yes_price").is_between(1, 99))
        .join(markets.lazy().select("ticker", "event", "series", "title", "rules"), on="ticker")
        .sort("time", "ticker")
        .head(n)
        .drop("price")
        .collect()
    )
    if found.is_empty():
        raise DataError(
            "no market has trades and a result yes or no; the documented agents judge by the table "
            "trades: import or download it as well, or leave out --mode reference"
        )
    return found


def win_rates(settlements: pl.DataFrame, trades: pl.LazyFrame, history: str) -> pl.DataFrame:
    """Return what the quant agent knows of each action and cent, from all trades of all time.

    Parameters
    ----------
    settlements, trades : frame of schema.SETTLEMENTS, schema.TRADES
    history : str
        How the tickers begin that count.

    Returns
    -------
    frame
        action, yes_price (1 to 99), sample_size (trades at the cent whose taker bought our side),
        implied_prob, actual_win_rate (share of them whose market resolved so), calibration_gap,
        no_win_rate (of takers of YES up to the cent, share that resolved NO), taker_win_rate (of
        all takers at the cent), yes_no_asymmetry, kinds and seasons (1, or 2 for more: markets
        as `longshot_chain_rules.KINDS`, years from July to June). Rates are null where there is no
        trade.
    """
    kind = pl.col("ticker").str.extract(r"^([^-]+)").replace_strict(_KIND, default=len(_KIND))
    ended = settlements.lazy().select("ticker", "result", kind=kind.cast(pl.Int64))
    ended = ended.filter(pl.col("result").is_in(["yes", "no"]))
    seen = (
        trades.filter(pl.col("ticker").cast(pl.String).str.starts_with(history))
        .join(ended, on="ticker")
        .with_columns(season=(pl.col("time").dt.year() + (pl.col("time").dt.month() > 6)))
        .group_by(yes_price=_cents("price"), taker="taker_side")
        .agg(
            n=pl.len().cast(pl.Int64),
            yes=(pl.col("result") == "yes").sum().cast(pl.Int64),
            kinds=_several("kind"),
            seasons=_several("season"),
        )
        .collect()
    )
    cents = pl.DataFrame({"yes_price": range(1, 100)}, schema={"yes_price": pl.Int64})
    for side, taker in (("yes", 1), ("no", -1)):
        own = seen.filter(taker=taker).select(
            "yes_price", pl.col("n", "yes", "kinds", "seasons").name.prefix(f"{side}_")
        )
        cents = cents.join(own, on="yes_price", how="left", maintain_order="left")
    cents = cents.fill_null(0).with_columns(
        yes_won=pl.col("yes_yes"), no_won=pl.col("no_n") - pl.col("no_yes")
    )
    lost, tried = ((pl.col("yes_n") - pl.col("yes_yes")).cum_sum(), pl.col("yes_n").cum_sum())
    shared = cents.with_columns(
        no_win_rate=_rate(lost, tried),
        taker_win_rate=_rate(
            pl.col("yes_won") + pl.col("no_won"), pl.col("yes_n") + pl.col("no_n")
        ),
        **{f"{s}_rate": _rate(pl.col(f"{s}_won"), pl.col(f"{s}_n")) for s in ("yes", "no")},
    )
    return pl.concat(
        [_action(shared, "BET_NO", "no", "yes"), _action(shared, "BET_YES", "yes", "no")]
    )


def _action(shared: pl.DataFrame, action: str, own: str, other: str) -> pl.DataFrame:
    cent, rate = pl.col("yes_price"), pl.col(f"{own}_rate")
    implied = cent if own == "yes" else 100 - cent
    # The mirrored cell is the other side's at 100 less the cent: the same column, upside down.
    mirrored = pl.col(f"{other}_rate").reverse()
    return shared.select(
        action=pl.lit(action),
        yes_price=cent,
        sample_size=pl.col(f"{own}_n"),
        implied_prob=_told(100 * implied),
        actual_win_rate=_told(rate),
        calibration_gap=_told(rate - 100 * implied),
        no_win_rate=_told(pl.col("no_win_rate")),
        taker_win_rate=_told(pl.col("taker_win_rate")),
        yes_no_asymmetry=_told((pl.col("taker_win_rate") - mirrored).abs()),
        kinds=pl.col(f"{own}_kinds"),
        seasons=pl.col(f"{own}_seasons"),
    )


def _several(column: str) -> pl.Expr:
    """Return 2 where a group has more than one value of a column, else 1."""
    return 1 + (pl.col(column).max() > pl.col(column).min()).cast(pl.Int64)


def _told(units: pl.Expr) -> pl.Expr:
    """Return units of the fourth decimal as the number nearest to them, which a quotient is not."""
    return (units / _FOUR).round(4)


def _cents(column: str) -> pl.Expr:
    return (pl.col(column).cast(pl.Int64) + 50) // 100


def _rate(part: pl.Expr, whole: pl.Expr) -> pl.Expr:
    """Return a share in units of the fourth decimal, half up; null of nothing."""
    return pl.when(whole > 0).then((2 * _FOUR * part + whole) // (2 * whole).clip(1))
