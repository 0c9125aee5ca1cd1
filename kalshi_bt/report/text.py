"""The report as plain text, and its summary for the terminal."""

from collections.abc import Iterable, Sequence
from textwrap import fill

import polars as pl

from kalshi_bt.report.certainty import between, grounds
from kalshi_bt.report.model import Run
from kalshi_bt.report.tallies import in_order
from kalshi_bt.report.verdict import verdict
from kalshi_bt.report.wording import BAND, MINUS, chance, label, micro, reason, shown, why_absent

WIDTH = 78
SYNTHETIC = "SYNTHETIC DATA: this checks the machinery and says nothing about real markets."

BLOCKS: Sequence[tuple[str, Sequence[str]]] = (
    ("TRADE STATISTICS", ("n_trades", "n_wins", "n_losses", "pushes", "win_rate", "break_even_rate",
                          "price_paid", "win_rate_excess", "holding_time", "n_orders", "n_rejected",
                          "fill_rate", "unsettled", "determined")),
    ("P&L STATISTICS", ("net_pnl", "gross_profit", "gross_loss", "gross_pnl", "fees", "spread_paid",
                        "pnl_at_mid", "spread_cost", "slippage_cost", "one_sided", "average_win",
                        "average_loss", "largest_win", "largest_loss", "initial_cash",
                        "final_equity", "roi", "roi_stake", "return_locked",
                        "return_locked_annual")),
    ("RATIOS", ("profit_factor", "expectancy", "sharpe", "sortino", "max_drawdown",
                "max_drawdown_pct", "drawdown_days", "turnover", "fee_drag", "spread_drag",
                "slippage_drag", "exposure_max", "exposure_mean", "n_days")),
    ("CONSECUTIVE TRADES", ("max_wins", "max_losses")),
    ("CONCENTRATION", ("n_markets", "n_events", "n_clusters", "top_event_share", "top_day_share",
                       "top_market_share", "top_event_stake", "net_without_best_event",
                       "net_without_best_day")),
    ("FORECASTS", ("n_forecasts", "forecasts_scalar", "forecasts_unsettled", "brier", "brier_price",
                   "brier_difference", "brier_skill", "log_loss", "log_loss_price",
                   "log_loss_skill", "reliability", "reliability_price", "resolution",
                   "resolution_price", "uncertainty", "within_bin_variance",
                   "within_bin_variance_price", "within_bin_covariance",
                   "within_bin_covariance_price", "miscalibration", "miscalibration_price",
                   "discrimination", "discrimination_price", "log_miscalibration",
                   "log_miscalibration_price", "log_discrimination", "log_discrimination_price",
                   "log_uncertainty", "cox_intercept",
                   "cox_intercept_price", "cox_slope", "cox_slope_price", "mincer_zarnowitz_p",
                   "mincer_zarnowitz_p_price")),
    ("UNCERTAINTY", ("sharpe_lo", "psr_2012", "psr_2025", "min_track_2012", "min_track_2025",
                     "n_trials", "deflated_sharpe", "n_compared", "pbo", "spa_p", "e_value",
                     "e_process_p", "permutation_p", "power_trades", "random_entry_p",
                     "random_entry_mean", "random_side_p")),
)  # fmt: skip
# Rows that stand in every report, whatever they come to; of the others those that are not defined
# for one and the same reason are named together.
ALWAYS = frozenset(
    {"n_trades", "n_wins", "n_losses", "win_rate", "net_pnl", "gross_profit", "gross_loss",
     "average_win", "average_loss", "largest_win", "largest_loss", "profit_factor", "expectancy",
     "sharpe", "max_drawdown", "max_drawdown_pct", "max_wins", "max_losses"}
)  # fmt: skip
COMPARED = ("net_pnl", "fees", "n_trades", "win_rate", "max_drawdown", "sharpe")


def render_text(run: Run) -> str:
    """Return the whole report as plain ASCII-friendly text, blocks in a fixed order.

    Parameters
    ----------
    run : Run
        What is shown.

    Returns
    -------
    str
        Lines of at most 78 characters where the content allows it, ending in a newline.
    """
    parts = [_title(run)]
    parts += [_block(title, _metrics(run, names)) for title, names in BLOCKS]
    parts += [_intervals(run), _groups(run), _band(run), _sensitivity(run), _assumptions(run)]
    parts.append(_counts("REJECTED ORDERS", run.rejections, "none"))
    parts.append(_block("DATA QUALITY", _quality(run)))
    parts.append(_block("LOOK-AHEAD AUDIT", [run.audit, *(f"  {d}" for d in run.audit_details)]))
    parts.append(_block("REPRODUCE", [run.command or "not recorded"]))
    return _plain("\n\n".join(part for part in parts if part) + "\n")


def summary(run: Run) -> str:
    """Return the run in about twenty lines, for the terminal."""
    names = ("n_trades", "win_rate", "break_even_rate", "net_pnl", "fees", "spread_paid",
             "max_drawdown", "sharpe", "n_orders", "n_rejected", "unsettled")  # fmt: skip
    notes = [f"note: {note}" for note in run.notes[:3]]
    if len(run.notes) > 3:
        notes.append(f"note: {len(run.notes) - 3} more in the report")
    lines = [_title(run), *(_line(run, name) for name in names)]
    return _plain("\n".join([*lines, *_nets(run), *notes]) + "\n")


def _plain(text: str) -> str:
    return text.replace(MINUS, "-")


def _title(run: Run) -> str:
    lines = [f"{run.strategy} on {run.dataset}", *run.title_lines, f"run {run.run_id}"]
    if run.synthetic:
        lines.insert(0, SYNTHETIC)
    rule = "=" * WIDTH
    audit = fill(run.audit, WIDTH, break_long_words=False, break_on_hyphens=False)
    told = [verdict(run).headline, audit]
    if run.audit_tone == "leak":  # before anybody reads what such a result looks like
        told = ["!" * WIDTH, audit, "!" * WIDTH, verdict(run).headline]
    return "\n".join([rule, *lines, rule, *told])


def _row(name: str, value: str, why: str = "", lies: str = "") -> str:
    told = f" {lies}" if lies else f"   ({why})" if why else ""
    return f"  {name:<28} {value:>16}{told}"


def _line(run: Run, name: str) -> str:
    scores = run.scores
    return _row(label(name), shown(scores, name), why_absent(scores, name), between(scores, name))


def _metrics(run: Run, names: Sequence[str]) -> list[str]:
    """Return a row a metric, and in a line what has no value for one common reason."""
    absent: dict[str, list[str]] = {}
    for name in names:
        if (why := why_absent(run.scores, name)) and name not in ALWAYS:
            absent.setdefault(why, []).append(name)
    alike = {why: some for why, some in absent.items() if len(some) > 1}
    told = {name for some in alike.values() for name in some}
    lines = [_line(run, name) for name in names if name not in told]
    for why, some in alike.items():
        lines.append(_indented(f"n/a ({why}): {'; '.join(label(name) for name in some)}"))
    return lines


def _block(title: str, lines: Iterable[str]) -> str:
    return "\n".join([title, "-" * len(title), *lines])


def _nets(run: Run) -> list[str]:
    return [
        _row(f"Net P&L, {words}", shown(run.bands[name], "net_pnl"))
        for name, words in BAND.items()
        if name in run.bands
    ]


def _band(run: Run) -> str:
    names = [name for name in BAND if name in run.bands]
    if not names:
        return _block("FILL MODELS", ["  not compared"])
    if run.orders.is_empty():
        return _block("FILL MODELS", ["  without an order all fill models and cases agree"])
    head = "  " + " " * 22 + "".join(f"{BAND[name]:>16}" for name in names)
    rows = (
        f"  {label(metric):<22}" + "".join(f"{shown(run.bands[n], metric):>16}" for n in names)
        for metric in COMPARED
    )
    return _block("FILL MODELS", [head, *rows])


def _intervals(run: Run) -> str:
    """Say of the numbers in brackets what they are."""
    kinds = grounds(run.scores, list(run.scores))
    lines = [f"{kind['names']}: {kind['rests']}." for kind in kinds]
    return _block("INTERVALS", [_indented(line) for line in lines]) if lines else ""


def _groups(run: Run) -> str:
    """Name the groups of trades that stand out most, by p-values among all that were tested."""
    found = run.tables.get("groups")
    tested = None if found is None else found.drop_nulls("q").sort("q", "p", "by", "group")
    if tested is None or tested.is_empty():
        return ""
    told = f"The five of {tested.height:,} tested that stand out most; q is p adjusted for all."
    lines = [_indented(told), f"  {'':<40} {'P&L':>16} {'p':>7} {'q':>7}"]
    for by, group, pnl, p, q in tested.select("by", "group", "pnl", "p", "q").head(5).iter_rows():
        amount = micro(pnl, signed=True)
        lines.append(f"  {f'{by} {group}':<40} {amount:>16} {chance(p):>7} {chance(q):>7}")
    return _block("GROUPS OF TRADES", lines)


def _indented(line: str) -> str:
    return fill(
        line, WIDTH, initial_indent="  ", subsequent_indent="      ", break_on_hyphens=False
    )


def _sensitivity(run: Run) -> str:
    rows = in_order(run.sensitivity).select("what", "net_pnl").iter_rows()
    lines = [f"  {what:<44} {micro(net, signed=True):>16}" for what, net in rows]
    return _block("SENSITIVITY, NET P&L", lines) if lines and run.orders.height else ""


def _assumptions(run: Run) -> str:
    rows = (f"  {name:<28} {value}\n      {why}" for name, value, why in run.assumptions)
    return _block("ASSUMPTIONS", rows) if run.assumptions else ""


def _counts(title: str, table: pl.DataFrame, none: str) -> str:
    ranked = table.sort("count", "reason", descending=[True, False]).select("reason", "count")
    rows = [f"  {count:>10,}  {reason(code)}" for code, count in ranked.iter_rows()]
    return _block(title, rows or [f"  {none}"])


def _quality(run: Run) -> list[str]:
    ranked = run.quarantine.sort("count", "reason", descending=[True, False]).select(
        "reason", "count"
    )
    rows = [f"  {count:>10,}  {why}" for why, count in ranked.iter_rows()]
    return [
        _line(run, "quarantined_rows"),
        *rows,
        *(f"  note: {note}" for note in run.notes),
    ]
