"""The figures of the report one at a time, for a notebook or for paper."""

from dataclasses import dataclass
from typing import Any

import polars as pl

from kalshi_bt.errors import UsageError
from kalshi_bt.report.figures import Figure, bars_figure, plain
from kalshi_bt.report.figures.unpacked import colours, unpacked
from kalshi_bt.report.model import Run
from kalshi_bt.report.sections.calendar import calendar
from kalshi_bt.report.sections.calibration import MOMENTS, calibration
from kalshi_bt.report.sections.costs import costs
from kalshi_bt.report.sections.equity import equity
from kalshi_bt.report.sections.fills import fills
from kalshi_bt.report.sections.ground import assumptions
from kalshi_bt.report.sections.part import Part
from kalshi_bt.report.sections.prices import prices
from kalshi_bt.report.sections.uncertainty import uncertainty
from kalshi_bt.report.tallies import in_order
from kalshi_bt.run_schema import FIRST

NOTHING = "Nothing to draw: the run kept no numbers for this figure."


@dataclass(frozen=True)
class Plots:
    """The figures of a run, with the numbers of its report.

    Each is a `plotly.graph_objects.Figure`, or with ``static=True`` a `static.Static` (a figure of
    Matplotlib) that is saved as PNG, SVG or PDF with the same bytes for the same run. Where a run
    has nothing to draw, the figure says why in words.

    Examples
    --------
    >>> import kalshi_bt
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from kalshi_bt.run import make_sample
    >>> with TemporaryDirectory() as folder:
    ...     made = make_sample(Path(folder, "invented"), tell=lambda _: None)
    ...     run = kalshi_bt.backtest("bollinger", data=Path(folder, "invented"), out=folder)
    >>> [trace.name for trace in run.plot.equity().data]
    ['Equity', 'Drawdown', 'Locked']
    """

    run: Run

    def equity(self, *, static: bool = False) -> Any:
        """Return equity above its drawdown above the money locked in positions, dollars."""
        return self._drawn(equity(self.run), "plot-equity", static=static)

    def days(self, *, static: bool = False) -> Any:
        """Return what every UTC day added, dollars; of long runs every month."""
        return self._drawn(calendar(self.run), "plot-calendar", static=static)

    def by_price(self, *, static: bool = False) -> Any:
        """Return P&L by entry price (dollars), and the edge expected and realised (cents)."""
        return self._drawn(prices(self.run), "plot-prices", static=static)

    def costs(self, *, static: bool = False) -> Any:
        """Return the way from the result at the mid over spread and fees to the net one."""
        return self._drawn(costs(self.run), "plot-costs", static=static)

    def slippage(self, *, static: bool = False) -> Any:
        """Return contracts by what was paid beyond the quote at the decision, cents."""
        return self._drawn(fills(self.run), "plot-slippage", "Slippage", static=static)

    def markouts(self, *, static: bool = False) -> Any:
        """Return where the mid stood after fills, by role, cents a contract with intervals."""
        return self._drawn(fills(self.run), "plot-markouts", "After the fills", static=static)

    def evidence(self, *, static: bool = False) -> Any:
        """Return the wealth of a bettor against "no edge after costs"."""
        return self._drawn(
            uncertainty(self.run), "plot-evidence", "Evidence of an edge", static=static
        )

    def calibration(self, point: str = FIRST, *, static: bool = False) -> Any:
        """Return how often stated probabilities came true, with clustered intervals.

        Parameters
        ----------
        point : str
            Moment of the forecasts: ``first`` or a name of `run_schema.HORIZONS`, such as ``1h``.
        static : bool
            Whether for paper.

        Raises
        ------
        UsageError
            If there is no such moment.
        """
        if point not in MOMENTS:
            raise UsageError.unknown("moment of a forecast", point, MOMENTS)
        part = calibration(self.run)
        found = part.tables.get("reliability", {}).get(point)
        why = f"Nothing to judge: no forecast was kept at the {MOMENTS[point]}."
        reason = part.values["empty"] or why
        return self._shown(f"{part.title}, {MOMENTS[point]}", found, reason, static=static)

    def sensitivity(self, *, static: bool = False) -> Any:
        """Return net P&L of the same orders under one changed assumption each, dollars."""
        part = assumptions(self.run)
        rows = in_order(self.run.sensitivity)
        found = _cases(rows) if rows.height else None
        return self._shown("Sensitivity", found, part.values["empty"], static=static)

    def _drawn(self, part: Part, name: str, title: str = "", *, static: bool) -> Any:
        reason = part.values.get("empty") or NOTHING
        return self._shown(title or part.title, part.figures.get(name), reason, static=static)

    def _shown(self, title: str, figure: Figure | None, reason: str, *, static: bool) -> Any:
        invented = " (generated data)" if self.run.synthetic else ""
        title = f"{self.run.strategy} on {self.run.dataset}{invented}: {title}"
        spec = unpacked(_words(reason) if figure is None else figure)
        if static:
            from kalshi_bt.report.static import drawn  # noqa: PLC0415  slow to import

            return drawn(spec, title)
        return _interactive(spec, title)


def _cases(rows: pl.DataFrame) -> Figure:
    return bars_figure(
        rows["case"].to_list(), rows["net_pnl"].to_list(), rows["what"].to_list(), "Assumption"
    )


def _words(reason: str) -> Figure:
    """Return a figure that says why there is nothing in it."""
    middle = {"xref": "paper", "yref": "paper", "x": 0.5, "y": 0.5, "showarrow": False}
    axis = {"visible": False}
    layout = {"height": 240, "xaxis": axis, "yaxis": axis}
    return {
        "columns": {},
        "data": [],
        "layout": {**layout, "annotations": [{**middle, "text": plain(reason)}]},
    }


def _interactive(spec: dict[str, Any], title: str) -> Any:
    import plotly.graph_objects as go  # noqa: PLC0415  slow to import

    figure = go.Figure(**spec)
    head = {"text": plain(title), "font": {"size": 14}, "x": 0, "xref": "paper"}
    head |= {"y": 0.97, "yref": "container", "yanchor": "top"}  # above a legend
    margin = {"l": 64, "r": 16, "t": 76, "b": 44}
    figure.update_layout(template="plotly_white", title=head, margin=margin)
    figure.update_layout(font={"color": colours()["--muted"], "size": 12})
    return figure.update_xaxes(automargin=True).update_yaxes(automargin=True)
