"""How good the probabilities were: of the signal, and of the price it traded against."""

from typing import Any

import polars as pl

from kalshi_bt.report.figures import Figure, reliability_figure
from kalshi_bt.report.model import Run
from kalshi_bt.report.reliability import FORECASTERS, POINTS, brier, compared, reliability
from kalshi_bt.report.sections.part import Part, numbers
from kalshi_bt.report.wording import label, shown, why_absent
from kalshi_bt.run_schema import FIRST

MOMENTS = {FIRST: "first opinion", **{p: f"{p} before the scheduled close" for p in POINTS[1:]}}
TERMS = ("brier", "log_loss", "reliability", "resolution", "within_bin_variance",
         "within_bin_covariance", "miscalibration", "discrimination")  # fmt: skip
MORE = ("brier_difference", "brier_skill", "log_loss_skill", "uncertainty", "cox_intercept",
        "cox_slope", "mincer_zarnowitz_p")  # fmt: skip
OF_PRICE = "_price"


def calibration(run: Run) -> Part:
    """Return observed frequency against forecast at every moment that has some, and the scores."""
    title = "Calibration of signal and price"
    points = [point for point in POINTS if not compared(run.forecasts, point).is_empty()]
    if not points:
        return Part("calibration", title, "Calibration", {"empty": _why_none(run)})
    stated = bool(run.forecasts["fair"].is_not_null().any())
    figures, choices = {}, []
    for point in points:
        figure, rows = _diagram(run, point)
        figures[point] = figure
        choices.append({"point": point, "name": MOMENTS[point], "rows": rows})
    values = {
        "empty": "",
        "choices": choices,
        "stated": stated,
        "scalar": f"{_scalar(run):,}",
        "moments": _moments(run),
        "terms": terms(run, stated=stated),
        "more": numbers(run, MORE) if stated else [],
    }
    return Part("calibration", title, "Calibration", values, tables={"reliability": figures})


def _diagram(run: Run, point: str) -> tuple[Figure, list[dict[str, str]]]:
    judged = compared(run.forecasts, point)
    found = {name: reliability(judged, column) for name, column in FORECASTERS.items()}
    told = {name: [_row(name, row) for row in rows.iter_rows(named=True)]
            for name, rows in found.items()}  # fmt: skip
    hover = {name: [_hover(row) for row in rows] for name, rows in told.items()}
    return reliability_figure(found, hover), [row for rows in told.values() for row in rows]


def _row(name: str, row: dict[str, Any]) -> dict[str, str]:
    low = 10 * row["bucket"]
    return {
        "by": name.capitalize(),
        "bucket": f"{low}–{low + 10}%",
        "forecast": f"{row['forecast']:.1%}",
        "observed": f"{row['observed']:.1%}",
        "interval": f"[{100 * row['low']:.1f}, {100 * row['high']:.1f}]",
        "markets": f"{row['markets']:,}",
        "events": f"{row['events']:,}",
    }


def _hover(row: dict[str, str]) -> str:
    stated = f"{row['by']} {row['forecast']}, came true {row['observed']} {row['interval']}"
    return f"{stated}, {row['markets']} markets of {row['events']} events"


def _moments(run: Run) -> list[dict[str, str]]:
    """Mean squared error of both at every moment, the better one named."""
    return [
        {
            "point": MOMENTS[row["point"]],
            "markets": f"{row['markets']:,}",
            "events": f"{row['events']:,}",
            "signal": "n/a" if row["signal"] is None else f"{row['signal']:.4f}",
            "price": f"{row['price']:.4f}",
            "better": "n/a" if row["signal"] is None else _better(row["signal"] - row["price"]),
        }
        for row in brier(run.forecasts).iter_rows(named=True)
    ]


def _better(difference: float) -> str:
    if not difference:
        return "equal"
    return f"{'signal' if difference < 0 else 'price'}, by {abs(difference):.4f}"


def terms(run: Run, *, stated: bool) -> list[dict[str, str]]:
    """Return the scores of signal and price among the metrics; why the first lacks, if stated."""
    return [
        {
            "name": label(name).removesuffix(", signal"),
            "signal": shown(run.scores, name),
            "price": shown(run.scores, name + OF_PRICE),
            "why": why_absent(run.scores, name) if stated else "",
            "doc": run.metric_docs.get(name, ""),
        }
        for name in TERMS
        if name in run.scores
    ]


def _scalar(run: Run) -> int:
    """Count the markets whose outcome is neither yes nor no."""
    partial = pl.col("outcome").is_between(0, 1, closed="none")
    return run.forecasts.filter(pl.col("point") == FIRST, partial).height


def _why_none(run: Run) -> str:
    if run.forecasts.is_empty():
        return "Nothing to judge: no market was quoted on both sides, or no opinions were kept."
    if run.forecasts["outcome"].null_count() == run.forecasts.height:
        return "Nothing to judge: no market was settled in this data."
    return "Nothing to judge: no market with a quote on both sides was settled at yes or no."
