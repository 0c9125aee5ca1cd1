"""Numbers and reasons in words, the same in every output."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import polars as pl

from kalshi_bt.report.model import Run, Scores
from kalshi_bt.units import MONEY_SCALE, QUANTITY_SCALE

MINUS = "\N{MINUS SIGN}"
ABSENT = "n/a"
NOISE = 1e-14  # of sums of numbers about one
BAND = {
    "optimistic": "optimistic",
    "cross": "base",
    "base": "base",
    "pessimistic": "pessimistic",
}

LABELS = {
    "net_pnl": "Net P&L",
    "gross_pnl": "P&L before fees",
    "fees": "Fees",
    "spread_paid": "Spread paid",
    "initial_cash": "Initial cash",
    "final_equity": "Final equity",
    "roi": "Return on initial cash",
    "roi_stake": "Return on stake",
    "fee_drag": "Fee drag",
    "turnover": "Turnover",
    "exposure_max": "Highest exposure",
    "max_drawdown": "Max drawdown",
    "max_drawdown_pct": "Max drawdown, %",
    "drawdown_days": "Longest drawdown",
    "sharpe": "Sharpe ratio",
    "sortino": "Sortino ratio",
    "n_trades": "Closed trades",
    "win_rate": "Win rate",
    "break_even_rate": "Break-even win rate",
    "pushes": "Pushes",
    "profit_factor": "Profit factor",
    "expectancy": "Expectancy",
    "average_win": "Average win",
    "average_loss": "Average loss",
    "largest_win": "Largest win",
    "largest_loss": "Largest loss",
    "max_wins": "Max consecutive wins",
    "max_losses": "Max consecutive losses",
    "holding_time": "Mean holding time",
    "n_orders": "Orders",
    "n_rejected": "Orders rejected",
    "fill_rate": "Fill rate",
    "n_fills": "Fills",
    "unsettled": "Unsettled positions",
    "unsettled_value": "Unsettled value",
    "determined": "Determined, not paid",
    "quarantined_rows": "Quarantined rows",
    "n_wins": "Winning trades",
    "n_losses": "Losing trades",
    "gross_profit": "Gross profit (wins)",
    "gross_loss": "Gross loss (losses)",
    "price_paid": "Mean price paid",
    "win_rate_excess": "Win rate less price paid",
    "pnl_at_mid": "P&L at the mid",
    "spread_cost": "Spread cost",
    "slippage_cost": "Slippage cost",
    "one_sided": "Trades not quoted",
    "spread_drag": "Spread drag",
    "slippage_drag": "Slippage drag",
    "exposure_mean": "Mean exposure",
    "return_locked": "Return on locked money",
    "return_locked_annual": "Return on locked, a year",
    "n_days": "Days",
    "n_markets": "Markets traded",
    "n_events": "Events traded",
    "n_clusters": "Independent clusters",
    "top_event_share": "Share of top event",
    "top_day_share": "Share of top day",
    "top_market_share": "Share of top market",
    "top_event_stake": "Stake in top event",
    "net_without_best_event": "P&L without best event",
    "net_without_best_day": "P&L without best day",
    "sharpe_lo": "Sharpe, autocorrelated",
    "psr_2012": "PSR, 2012 convention",
    "psr_2025": "PSR, 2025 convention",
    "min_track_2012": "Record needed, 2012",
    "min_track_2025": "Record needed, 2025",
    "n_trials": "Trials",
    "deflated_sharpe": "Deflated Sharpe",
    "n_compared": "Trials compared by day",
    "pbo": "Prob. of overfitting",
    "spa_p": "Best-of-all p-value",
    "e_value": "Evidence of an edge",
    "e_process_p": "Anytime p-value",
    "permutation_p": "Sign-flip p-value",
    "power_trades": "Trades needed",
    "random_entry_p": "Random-entry p-value",
    "random_entry_mean": "Random entries make",
    "random_side_p": "Random-side p-value",
    "n_forecasts": "Forecasts judged",
    "forecasts_scalar": "Paid a fraction, left out",
    "forecasts_unsettled": "Not settled, left out",
    "uncertainty": "Uncertainty of outcomes",
    "log_uncertainty": "Entropy of outcomes",
    "brier_difference": "Brier, signal less price",
    "brier_skill": "Brier skill over price",
    "log_loss_skill": "Log loss skill over price",
    **{
        f"{name}{suffix}": f"{words}, {whose}"
        for name, words in {
            "brier": "Brier",
            "reliability": "Reliability",
            "resolution": "Resolution",
            "within_bin_variance": "Within-bin var.",
            "within_bin_covariance": "Within-bin cov.",
            "log_loss": "Log loss",
            "miscalibration": "Miscalibration",
            "discrimination": "Discrimination",
            "log_miscalibration": "Log miscal.",
            "log_discrimination": "Log discrim.",
            "cox_intercept": "Cox intercept",
            "cox_slope": "Cox slope",
            "mincer_zarnowitz_p": "Mincer-Zarnowitz p",
        }.items()
        for suffix, whose in {"": "signal", "_price": "price"}.items()
    },
}

REASONS = {
    "beyond_limit": "the market had moved beyond the limit",
    "breaker_daily_loss": "breaker: daily loss",
    "breaker_drawdown": "breaker: drawdown",
    "breaker_losses": "breaker: losses in a row",
    "breaker_session_loss": "breaker: loss of the run",
    "breaker_weekly_loss": "breaker: weekly loss",
    "cash": "not enough free cash",
    "confidence": "stated confidence too low",
    "cycle_cap": "cap per decision time",
    "edge": "edge after fees too small",
    "event_cap": "cap per event",
    "exited": "position was exited first",
    "exposure": "cap on total exposure",
    "market_cap": "cap per market",
    "market_closed": "market had closed",
    "max_contracts": "cap on contracts",
    "max_positions": "too many open positions",
    "no_position": "nothing held to close",
    "no_quote": "no quote on that side",
    "no_stop": "sized by risk, but without a stop",
    "no_volume": "not enough volume traded",
    "not_reached": "limit or trigger not reached",
    "order_rate": "too many orders in a minute",
    "paused": "the exchange was paused",
    "position_open": "position or order already open",
    "price_range": "limit outside the price range",
    "reward_risk": "reward too small for the risk",
    "signal": "withdrawn by the strategy",
    "size_zero": "sized to less than one lot",
    "stop_side": "stop on the wrong side",
    "target_side": "target on the wrong side",
    "trading_hours": "outside the trading hours",
    "would_cross": "would have traded at once, and may only rest",
}


def label(name: str) -> str:
    """Return the readable name of a metric."""
    return LABELS.get(name, name.replace("_", " ").capitalize())


def reason(code: str | None) -> str:
    """Return a rejection reason in words; an unknown code stands for itself."""
    return REASONS.get(code or "", (code or "not stated").replace("_", " "))


def money(amount: str | Decimal, *, signed: bool = False) -> str:
    """Return dollars rounded to the cent, with thousands separators and a sign before the dollar.

    Examples
    --------
    >>> money("1234.5"), money("12", signed=True)
    ('$1,234.50', '+$12.00')
    """
    cents = round(Decimal(amount), 2)
    sign = MINUS if cents < 0 else "+" if signed and cents > 0 else ""
    return f"{sign}${abs(cents):,.2f}"


def micro(amount: int, *, signed: bool = False) -> str:
    """Return micro-dollars as `money` does."""
    return money(Decimal(amount) / MONEY_SCALE, signed=signed)


def cents(price: float) -> str:
    """Return a price in centi-cents as cents.

    Examples
    --------
    >>> cents(5_600), cents(9_925)
    ('56¢', '99.25¢')
    """
    return f"{price / 100:.2f}".rstrip("0").rstrip(".") + "¢"


def contracts(quantity: int) -> str:
    """Return the size of a quantity in contracts, without its sign.

    Examples
    --------
    >>> contracts(-120_000), contracts(150)
    ('1,200', '1.5')
    """
    return f"{abs(quantity) / QUANTITY_SCALE:,.2f}".rstrip("0").rstrip(".")


def duration(seconds: float) -> str:
    """Return a time span in its two largest units.

    Examples
    --------
    >>> duration(45), duration(3_720), duration(172_800)
    ('45s', '1h 2m', '2d')
    """
    left = round(seconds)
    parts: list[tuple[int, str]] = []
    for length, unit in ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")):
        count, left = divmod(left, length)
        if count or parts:
            parts.append((count, unit))
    return " ".join(f"{count}{unit}" for count, unit in parts[:2] if count) or "0s"


def moment(time: datetime | None) -> str:
    """Return a UTC time to the minute; null is not known."""
    return "not known" if time is None else f"{time:%Y-%m-%d %H:%M}"


RATES = frozenset(
    {
        "win_rate",
        "break_even_rate",
        "fill_rate",
        "win_rate_excess",
        "top_event_share",
        "top_day_share",
        "top_market_share",
        "top_event_stake",
        "psr_2012",
        "psr_2025",
        "deflated_sharpe",
    }
)
SIGNED = frozenset(
    {
        "net_pnl",
        "gross_pnl",
        "roi",
        "roi_stake",
        "expectancy",
        "average_win",
        "average_loss",
        "largest_win",
        "largest_loss",
        "gross_profit",
        "gross_loss",
        "win_rate_excess",
        "pnl_at_mid",
        "return_locked",
        "return_locked_annual",
        "net_without_best_event",
        "net_without_best_day",
        "random_entry_mean",
        "brier_difference",
        "brier_skill",
        "log_loss_skill",
    }
)


def shown(scores: Scores, name: str) -> str:
    """Return a metric as a reader wants it, `n/a` where it does not exist.

    Parameters
    ----------
    scores : mapping
        Metric name to its value and unit.
    name : str
        The metric; one that is missing is shown as `n/a` too.

    Examples
    --------
    >>> shown({"win_rate": {"value": 0.5, "unit": "fraction"}}, "win_rate")
    '50.0%'
    """
    entry = scores.get(name, {})
    return (
        ABSENT
        if entry.get("value") is None
        else worded(name, entry["value"], entry.get("unit", ""))
    )


def worded(name: str, value: Any, unit: str) -> str:
    """Return a value of a metric as a reader wants it."""
    signed = name in SIGNED
    if unit == "dollars":
        return money(value, signed=signed)
    if unit == "seconds":
        return duration(value)
    if unit == "days" and 0 < value < 1:
        return duration(86_400 * value)
    if isinstance(value, int) and unit not in {"fraction", "percent"}:
        return f"{value:,}"
    if unit == "fraction":
        text = _decimals(100 * value, 1 if name in RATES else 2) + "%"
    else:
        text = _decimals(value, {"days": 1, "score": 4}.get(unit, 2))
        text += {"percent": "%", "days": " days"}.get(unit, "")
    return ("+" if signed and value > 0 else "") + text.replace("-", MINUS)


def _decimals(value: float, places: int) -> str:
    """Round to that many decimals; a number too small for them keeps two digits instead.

    What rounding errors alone leave of a zero is a zero.
    """
    text = f"{value if abs(value) >= NOISE else 0:.{places}f}"
    return f"{value:.2g}" if abs(value) >= NOISE and not float(text) else text


def difference_text(
    name: str, unit: str, value: Any, interval: Mapping[str, Any] | None
) -> tuple[str, str]:
    """Return the difference between two values of a metric, and where it lies, as readers want it.

    Examples
    --------
    >>> difference_text("win_rate", "fraction", 0.02, {"low": -0.01, "high": 0.05})
    ('+2.0 pp', '−1.0 pp to +5.0 pp')
    >>> difference_text("fees", "dollars", None, None)
    ('n/a', '')
    """
    if value is None:
        return ABSENT, ""
    ends = [interval[end] for end in ("low", "high")] if interval else []
    words = [_signed(name, each, unit) for each in (value, *ends)]
    return words[0], " to ".join(words[1:])


def _signed(name: str, value: Any, unit: str) -> str:
    size = Decimal(str(value))
    if unit == "seconds" and size < 0:
        return MINUS + duration(-float(size))
    text = worded(name, value, unit).lstrip("+").replace("%", " pp").replace("-", MINUS)
    return f"+{text}" if size > 0 else text


def why_absent(scores: Scores, name: str) -> str:
    """Return why a metric has no value; empty if it has one."""
    return str(scores.get(name, {}).get("reason", ""))


def tone(amount: Any) -> str:
    """Return `gain`, `loss` or `flat` for an amount of money or a number; null is flat."""
    value = Decimal(str(amount)) if amount is not None else Decimal(0)
    return "gain" if value > 0 else "loss" if value < 0 else "flat"


def chance(p: float) -> str:
    """Return a probability in words.

    Examples
    --------
    >>> chance(0.0004), chance(0.24)
    ('<0.001', '0.240')
    """
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def titles(run: Run) -> Mapping[str, str]:
    """Return ticker to title, for the markets whose title is known."""
    known = run.markets.filter(pl.col("title").is_not_null())
    return dict(known.select("ticker", "title").iter_rows())
