"""A finished run in Python: what it found, and its report in any form."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl

    from kalshi_bt.report import Run
    from kalshi_bt.report.plots import Plots


@dataclass(frozen=True, repr=False)
class Result:
    """A finished run.

    Attributes
    ----------
    metrics : dict
        What ``metrics.json`` holds: name to value, unit, weight and, for a null value, the reason.
    orders, fills, trades, equity : frame
        As `schema.ORDERS`, `schema.FILLS`, `schema.TRADES_CLOSED`, `schema.EQUITY`.
    run_dir : Path
        Folder with the tables, the report and the manifest.
    summary : str
        A screenful of text.
    run : report.Run
        Everything the report shows.
    """

    metrics: dict[str, dict[str, Any]]
    orders: "pl.DataFrame"
    fills: "pl.DataFrame"
    trades: "pl.DataFrame"
    equity: "pl.DataFrame"
    run_dir: Path
    summary: str
    run: "Run"

    @classmethod
    def of(cls, run: "Run", folder: Path) -> "Result":
        """Return the result whose report shows `run` and whose folder is `folder`."""
        from kalshi_bt.report import summary

        return cls(
            metrics=dict(run.scores),  # type: ignore[arg-type]
            orders=run.orders,
            fills=run.fills,
            trades=run.trades_closed,
            equity=run.equity,
            run_dir=folder,
            summary=summary(run),
            run=run,
        )

    @property
    def plot(self) -> "Plots":
        """Its figures: ``run.plot.equity()``, for paper ``run.plot.equity(static=True)``."""
        from kalshi_bt.report.plots import Plots

        return Plots(self.run)

    def __repr__(self) -> str:
        return f"Result({self.run.run_id!r}, run_dir={str(self.run_dir)!r})"

    def _repr_html_(self) -> str:
        from kalshi_bt.report.inline import render_inline

        return render_inline(self.run)

    def report(self, path: str | Path) -> Path:
        """Write the report to a file and return where it lies.

        Parameters
        ----------
        path : path
            Ends in ``.html`` (the page), ``.txt`` (the text) or ``.json`` (the metrics).

        Raises
        ------
        UsageError
            If it ends otherwise.
        DataError
            If it cannot be written.
        """
        from kalshi_bt.rendering import rendered, save

        target = Path(path)
        save(rendered(self.run, target.suffix.removeprefix(".")), target)
        return target


def load(run: str | Path, place: str | Path = "reports") -> Result:
    """Return a finished run from its folder, as `backtest` returned it.

    Parameters
    ----------
    run : str or path
        Its folder; or its id, or the beginning of that, among the runs of `place`.
    place : path
        Folder that holds runs.

    Raises
    ------
    UsageError
        If there is no such run, or several begin so.
    DataError
        If the folder is no run, was left by another version, or is damaged.

    Examples
    --------
    >>> import kalshi_bt
    >>> from kalshi_bt.run import make_sample
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     data = Path(folder, "invented")
    ...     made = make_sample(data, tell=lambda _: None)
    ...     run = kalshi_bt.backtest("bollinger", data=data, out=folder)
    ...     kalshi_bt.load("bollinger-", folder).metrics == run.metrics
    True
    """
    from kalshi_bt import run_folder

    folder = run_folder.find(str(run), Path(place))
    return Result.of(run_folder.load(folder), folder)
