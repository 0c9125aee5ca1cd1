"""How good the probabilities were: of the signal, and of the price it traded against."""

from typing import Any

import polars as pl

from kalshi_bt.report.figures import Figure, reliability_figure
from kalshi_bt.report.model import Run
from kalshi_bt.report.sections.part import Part, numbers
from kalshi_bt.report.wording import label, shown, why_absent
from kalshi_bt.run_schema import FIRST, HORIZONS

MOMENTS = {FIRST: "first opinion", **{h: f"{h} before the scheduled close" for h in HORIZONS}}
SOURCES = ("signal", "price")
TERMS = ("brier", "log_loss", "reliability", "resolution", "within_bin_variance",
         "within_bin_covariance", "miscalibration", "discrimination", "log_miscalibration",
         "log_discrimination", "cox_intercept", "cox_slope", "mincer_zarnowitz_p")  # fmt: skip
MORE = ("brier_difference", "brier_skill", "log_loss_skill", "uncertainty", "log_uncertainty")
OF_PRICE = "_price"


def calibration(run: Run) -> Part:
    """Return observed frequency against forecast at every moment that has some, and the scores."""
    title = "Calibration of signal and price"
    buckets = run.tables.get("reliability", pl.DataFrame())
    if buckets.is_empty():
        return Part("calibration", title, "Calibration", {"empty": _why_none(run)})
    stated = bool((buckets["source"] == SOURCES[0]).any())
    figures, choices = {}, []
    for point in buckets["point"].unique(maintain_order=True):
        figures[point], rows = _diagram(buckets.filter(pl.col("point") == point))
        choices.append({"point": point, "name": MOMENTS[point], "rows": rows})
    moments = _moments(run.tables["forecast_scores"])
    values = {
        "empty": "",
        "choices": choices,
        "stated": stated,
        "scalar": moments[0]["scalar"],
        "moments": moments,
        "terms": terms(run, stated=stated),
        "more": numbers(run, MORE) if stated else [],
    }
    return Part("calibration", title, "Calibration", values, tables={"reliability": figures})


def _diagram(buckets: pl.DataFrame) -> tuple[Figure, list[dict[str, str]]]:
    found = {source: buckets.filter(pl.col("source") == source) for source in SOURCES}
    told = {source: [_row(row) for row in rows.iter_rows(named=True)]
            for source, rows in found.items()}  # fmt: skip
    hover = {source: [_hover(row) for row in rows] for source, rows in told.items()}
    return reliability_figure(found, hover), [row for rows in told.values() for row in rows]


def _row(row: dict[str, Any]) -> dict[str, str]:
    low, high = 100 * row["cluster_low"], 100 * row["cluster_high"]
    return {
        "by": row["source"].capitalize(),
        "bucket": f"{100 * row['low']:.0f}–{100 * row['high']:.0f}%",
        "forecast": f"{row['mean_forecast']:.1%}",
        "observed": f"{row['hit_rate']:.1%}",
        "interval": f"[{low:.1f}, {high:.1f}]",
        "markets": f"{row['n']:,}",
        "clusters": f"{row['n_clusters']:,}",
    }


def _hover(row: dict[str, str]) -> str:
    stated = f"{row['by']} {row['forecast']}, came true {row['observed']} {row['interval']}"
    return f"{stated}, {row['markets']} markets in {row['clusters']} clusters"


def _moments(scores: pl.DataFrame) -> list[dict[str, str]]:
    """Mean squared error of both at every moment, the better one named."""
    rows = []
    for point in scores["point"].unique(maintain_order=True):
        found = {row["source"]: row for row in scores.filter(pl.col("point") == point).to_dicts()}
        signal, price = (found.get(source, {}).get("brier") for source in SOURCES)
        some = next(iter(found.values()))
        rows.append(
            {
                "point": MOMENTS[point],
                "markets": f"{some['n']:,}",
                "clusters": f"{some['n_clusters']:,}",
                "scalar": f"{some['scalar']:,}",
                "signal": "n/a" if signal is None else f"{signal:.4f}",
                "price": "n/a" if price is None else f"{price:.4f}",
                "better": _better(signal, price),
            }
        )
    return rows


def _better(signal: float | None, price: float | None) -> str:
    if signal is None or price is None:
        return "n/a"
    if signal == price:
        return "equal"
    return f"{'signal' if signal < price else 'price'}, by {abs(signal - price):.4f}"


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


def _why_none(run: Run) -> str:
    if run.forecasts.is_empty():
        return "Nothing to judge: no market was quoted on both sides, or no opinions were kept."
    if run.forecasts["outcome"].null_count() == run.forecasts.height:
        return "Nothing to judge: no market was settled in this data."
    return "Nothing to judge: no market with a quote on both sides was settled at yes or no."
