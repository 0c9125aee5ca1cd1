"""The rules of the documented longshot agents, as expressions on a table of markets."""

from dataclasses import dataclass
from typing import Literal

import polars as pl

from kalshi_bt.units import MONEY_SCALE, RATE_SCALE

KINDS = {"KXNBAGAME": "GAME_WINNER", "KXNBAWINS": "SEASON_TOTAL", "KXNBASGPROP": "PLAYER_PROP"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainRules:
    """The thresholds of the chain; the defaults are those of its first revision.

    Attributes
    ----------
    domain, history : str
        What a ticker must contain to be looked at (so that the women's league is too), and how the
        tickers begin whose trades make the win rates.
    longshot, favourite : int
        Cents up to which NO is bought, and from which YES is; both included.
    confirmed_gap, weak_gap : float
        Gaps to exceed for the verdicts of the quant agent.
    confirmed_sample, weak_sample : int
        And the trades they need.
    edge_high, edge_medium : float
        Gaps from which the orchestrator is confident.
    min_sample : int
        Trades without which it passes.
    every_gap : bool
        Whether every positive gap goes to the critic.
    kelly : {"gap", "true"}
        Whether the gap itself is called Kelly fraction, or the fraction is worked out.
    kelly_cap : float
    min_open_interest : int
        Contracts below which the critic vetoes, where the number is known and anything was traded
        or open.
    live_open_interest : int or None
        Contracts below which the bouncer drops, where the number is known.
    traded : tuple of str
        Series that are traded; any without one.
    one_per_game : bool
        Whether the critic vetoes a second position in a game (rule A the opposite side, rule B the
        same) and one where nothing is offered (rule D). Rule C, at most 15 dollars in a game, has
        nothing left to say then. A game counts as open from its first approval on: its markets
        close together.
    open_concern : int or None
        Dollars of approvals not settled yet, above which the critic is concerned, but no more.
    stake : {"fixed", "kelly"}
        Whether each approval stakes the same dollars, or `later_stake` of its Kelly fraction.
    """

    domain: str = "NBA"
    history: str = "KXNBA"
    longshot: int = 20
    favourite: int = 80
    confirmed_gap: float = 0.02
    weak_gap: float = 0.008
    confirmed_sample: int = 200
    weak_sample: int = 100
    edge_high: float = 0.02
    edge_medium: float = 0.008
    min_sample: int = 200
    every_gap: bool = False
    kelly: Literal["gap", "true"] = "gap"
    kelly_cap: float = 0.15
    min_open_interest: int = 500
    live_open_interest: int | None = None
    traded: tuple[str, ...] = ()
    one_per_game: bool = False
    open_concern: int | None = None
    stake: Literal["fixed", "kelly"] = "fixed"

    @classmethod
    def later(cls) -> "ChainRules":
        """Return the later revision: game winners only, lower thresholds, rules by game."""
        return cls(
            edge_high=0.015, edge_medium=0.0075, every_gap=True, kelly="true",
            live_open_interest=100, traded=("KXNBAGAME",), one_per_game=True,
            open_concern=50, stake="kelly",
        )  # fmt: skip


REVISIONS = {"first": ChainRules(), "later": ChainRules.later()}


def decide(
    observed: pl.DataFrame,
    rates: pl.DataFrame,
    rules: ChainRules,
    live: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Return what each stage says of each market, in the order given.

    Parameters
    ----------
    observed : frame as of `observations`
    rates : frame as of `win_rates`
    rules : ChainRules
    live : frame (ticker, volume, open_interest, depth), optional

    Returns
    -------
    frame
        What was observed, with category, action (what would be bought; null = bounced), side, the
        columns of `win_rates`, verdict, confidence, kelly_fraction, veto_reason, concerns,
        risk_score, status and reason.
    """
    blank = [pl.lit(None, pl.Int64).alias(name) for name in ("volume", "open_interest", "depth")]
    known = observed.with_columns(blank)
    if live is not None:
        numbers = live.select("ticker", pl.col("volume", "open_interest", "depth").cast(pl.Int64))
        known = observed.join(numbers, on="ticker", how="left", maintain_order="left")
    bounced = known.with_columns(_bouncer(rules), category=_category())
    asked = bounced.join(rates, on=("action", "yes_price"), how="left", maintain_order="left")
    judged = asked.with_columns(_verdict(rules), **_orchestrator(rules)).with_columns(
        ready=_ready(rules), veto_reason=_veto(rules), concerns=_concerns()
    )
    judged = judged.with_columns(status=_status())
    if rules.one_per_game:
        judged = _by_game(judged)
    vetoed = pl.col("status") == "VETOED"
    score = pl.when(pl.col("calibration_gap") > 0.02).then(3).otherwise(5)
    heard = pl.col("status").is_in(["VETOED", "APPROVED"])
    return judged.with_columns(
        veto_reason=pl.when(vetoed).then("veto_reason"),
        risk_score=pl.when(vetoed).then(9).when(heard).then(score),
        reason=_reason(),
    ).drop("ready")


def _bouncer(rules: ChainRules) -> list[pl.Expr]:
    ours = pl.col("ticker").str.to_uppercase().str.contains(rules.domain.upper(), literal=True)
    if rules.traded:
        ours &= pl.col("series").is_in(list(rules.traded))
    if rules.live_open_interest is not None:
        ours &= (pl.col("open_interest") >= rules.live_open_interest).fill_null(value=True)
    no = ours & (pl.col("yes_price") <= rules.longshot)
    yes = ours & (pl.col("yes_price") >= rules.favourite)
    return [
        pl.when(no).then(pl.lit("BET_NO")).when(yes).then(pl.lit("BET_YES")).alias("action"),
        pl.when(no).then(pl.lit("NO")).when(yes).then(pl.lit("YES")).alias("side"),
    ]


def _category() -> pl.Expr:
    return pl.col("series").replace_strict(KINDS, default="OTHER", return_dtype=pl.String)


def _verdict(rules: ChainRules) -> pl.Expr:
    n, gap = pl.col("sample_size").fill_null(0), pl.col("calibration_gap")
    return (
        pl.when(n < rules.weak_sample)
        .then(pl.lit("INSUFFICIENT_DATA"))
        .when((gap > rules.confirmed_gap) & (n >= rules.confirmed_sample))
        .then(pl.lit("EDGE_CONFIRMED"))
        .when(gap > rules.weak_gap)
        .then(pl.lit("EDGE_WEAK"))
        .otherwise(pl.lit("NO_EDGE"))
        .alias("verdict")
    )


def _orchestrator(rules: ChainRules) -> dict[str, pl.Expr]:
    n, gap, price = pl.col("sample_size"), pl.col("calibration_gap"), pl.col("implied_prob")
    sure = (
        pl.when(n.fill_null(0) < rules.min_sample)
        .then(pl.lit("LOW"))
        .when(gap >= rules.edge_high)
        .then(pl.lit("HIGH"))
        .when(gap >= rules.edge_medium)
        .then(pl.lit("MEDIUM"))
        .otherwise(pl.lit("LOW"))
    )
    share = gap if rules.kelly == "gap" else gap / (1 - price)
    return {
        "confidence": sure,
        "kelly_fraction": pl.when(gap > 0).then(share.clip(0, rules.kelly_cap)).otherwise(0.0),
    }


def _ready(rules: ChainRules) -> pl.Expr:
    enough = pl.col("sample_size").fill_null(0) >= rules.min_sample
    found = pl.col("calibration_gap").fill_null(0.0) > 0
    if rules.every_gap:
        return enough & found
    told = pl.col("verdict").is_in(["EDGE_CONFIRMED", "EDGE_WEAK"])
    return enough & found & told & pl.col("confidence").is_in(["HIGH", "MEDIUM"])


def _veto(rules: ChainRules) -> pl.Expr:
    """Return the first reason of the critic against a market; null: none."""
    n, rate = pl.col("sample_size"), pl.col("actual_win_rate")
    volume, interest = pl.col("volume"), pl.col("open_interest")
    known = (volume > 0) | (interest > 0)
    return (
        pl.when(rate.is_in([0.0, 1.0]) & (n >= rules.confirmed_sample))
        .then(pl.lit("win rate of exactly 0 or 1: contaminated data"))
        .when(n < rules.weak_sample)
        .then(pl.lit("sample too small"))
        .when(pl.col("kelly_fraction") > rules.kelly_cap)
        .then(pl.lit("Kelly fraction above its cap"))
        .when(known & (volume == 0))
        .then(pl.lit("no volume"))
        .when(known & (interest < rules.min_open_interest))
        .then(pl.lit("open interest too small"))
    )


def _concerns() -> pl.Expr:
    implausible = pl.when(pl.col("calibration_gap") > 0.5).then(pl.lit("gap above 0.50"))
    bold = (pl.col("kelly_fraction") > 0.10) & (pl.col("confidence") == "MEDIUM")
    large = pl.when(bold).then(pl.lit("Kelly fraction above 0.10 at medium confidence"))
    seasons = pl.when(pl.col("seasons") > 1).then(pl.lit("trades of several seasons"))
    mixed = pl.when(pl.col("kinds") > 1).then(pl.lit("trades of several kinds of markets"))
    return pl.concat_list(implausible, large, seasons, mixed).list.drop_nulls()


def _status() -> pl.Expr:
    return (
        pl.when(pl.col("action").is_null())
        .then(pl.lit("BOUNCED"))
        .when(~pl.col("ready"))
        .then(pl.lit("PASS"))
        .when(pl.col("veto_reason").is_not_null())
        .then(pl.lit("VETOED"))
        .otherwise(pl.lit("APPROVED"))
    )


def _by_game(judged: pl.DataFrame) -> pl.DataFrame:
    """Veto approvals where nothing is offered, and those after the first one in their game."""
    approved = pl.col("status") == "APPROVED"
    empty = approved & (pl.col("depth") == 0).fill_null(value=False)
    open_ = judged.with_columns(
        game=pl.coalesce(pl.col("ticker").str.extract(r"^[^-]+-([^-]+)"), "ticker"),
        taken=approved & ~empty,
        empty=empty,
    )
    mine = pl.when("taken").then("action")
    first = open_.with_columns(
        begun=pl.when("taken").then(pl.col("taken").cast(pl.Int64).cum_sum().over("game")),
        held=mine.drop_nulls().first().over("game"),
    )
    again = (pl.col("begun") > 1).fill_null(value=False)
    reason = (
        pl.when(again & (pl.col("action") != pl.col("held")))
        .then(pl.lit("rule A: opposite position in the same game"))
        .when(again)
        .then(pl.lit("rule B: position in the same game"))
        .when("empty")
        .then(pl.lit("rule D: nothing offered at the price"))
    )
    return first.with_columns(
        veto_reason=pl.coalesce(reason, "veto_reason"),
        status=pl.when(reason.is_not_null()).then(pl.lit("VETOED")).otherwise("status"),
    ).drop("game", "taken", "empty", "begun", "held")


def _reason() -> pl.Expr:
    """Return in words why a market ended where it did."""
    status = pl.col("status")
    return (
        pl.when(status == "BOUNCED")
        .then(pl.lit("not a longshot or favourite of the domain"))
        .when((status == "PASS") & pl.col("sample_size").is_null())
        .then(pl.lit("no data"))
        .when(status == "PASS")
        .then(pl.format("{} with confidence {}", "verdict", "confidence"))
        .when(status == "VETOED")
        .then("veto_reason")
        .otherwise(pl.format("edge of {} over {} trades", "calibration_gap", "sample_size"))
    )


def paper_contracts(cash: int, kelly: float, cents: int, most: int = 20) -> tuple[int, str]:
    """Return the contracts of a paper trade of the first revision, and a note.

    Parameters
    ----------
    cash : int
        Micro-dollars.
    kelly : float
        Of cash; at most 0.02 of it is risked, and 0.02 where this is 0.
    cents : int
        Price of the side, 1 to 99.
    most : int
        Contracts at most; at least one is bought where cash pays for it, which no Kelly rule asks.

    Examples
    --------
    >>> paper_contracts(1_000_000_000, 0.03, 86)
    (20, '')
    >>> paper_contracts(500_000, 0.03, 86)
    (0, 'skipped:insufficient_cash')
    """
    cost = cents * MONEY_SCALE // 100
    if cash < cost:
        return 0, "skipped:insufficient_cash"
    share = round((min(0.02, kelly) if kelly > 0 else 0.02) * RATE_SCALE)
    wanted = min(max(cash * share // RATE_SCALE // cost, 1), most)
    return (
        (wanted, "") if wanted * cost <= cash else (cash // cost, "scaled_down:insufficient_cash")
    )


def later_stake(kelly: float) -> int:
    """Return the micro-dollars of a trade of the later revision: 1000 x kelly dollars, 2 to 20.

    Examples
    --------
    >>> later_stake(0.0), later_stake(0.0125), later_stake(0.15)
    (2000000, 12500000, 20000000)
    """
    return min(max(round(kelly * 1_000 * MONEY_SCALE), 2 * MONEY_SCALE), 20 * MONEY_SCALE)
