"""The runs of a folder at a glance, each with its place among the trials of its strategy."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kalshi_bt import run_folder, trials
from kalshi_bt.errors import DataError
from kalshi_bt.report.wording import shown
from kalshi_bt.tables import rendered
from kalshi_bt.trials import Trial

__all__ = ["listed", "standing", "text"]

SCORES = ("n_trades", "net_pnl", "sharpe", "max_drawdown")


def listed(place: Path) -> list[dict[str, Any]]:
    """Return a row a run of a folder, by strategy, dataset and order of the trials.

    Parameters
    ----------
    place : Path
        Such as ``reports``.

    Returns
    -------
    list of dict
        ``run`` (the name of its folder), ``strategy``, ``dataset``, ``from`` and ``to`` (end of the
        first and the last bar), the scores `SCORES`, and ``trial``, ``trials``,
        ``deflated_sharpe`` of `standing`; of a folder that cannot be read only ``run`` and
        ``broken``, last.

    Raises
    ------
    DataError
        If the place cannot be listed, or its ledger of trials is damaged.
    """
    if not place.is_dir():
        raise DataError(f"{place} is no folder; expected one of runs, such as reports")
    ledger = trials.read(place)
    rows = [_row(place / name, ledger) for name in run_folder.names(place)]
    return sorted(rows, key=_order)


def _row(folder: Path, ledger: Sequence[Trial]) -> dict[str, Any]:
    try:
        manifest = run_folder.manifest(folder)
        rest, scores = run_folder.told(folder)
        begin, end = manifest["span"]
    except DataError as error:
        return {"run": folder.name, "broken": str(error)}
    return {
        "run": folder.name,
        "strategy": rest["strategy"],
        "dataset": rest["dataset"],
        "from": begin,
        "to": end,
        **{name: scores[name] for name in SCORES},
        **standing(ledger, manifest["run_id"]),
    }


def standing(ledger: Sequence[Trial], run: str) -> dict[str, Any]:
    """Return the place of a run among all trials of its strategy on its data to date.

    Returns
    -------
    dict
        ``trial`` (its number), ``trials`` (how many there are) and ``deflated_sharpe`` over all of
        them; nulls if the ledger does not know the run.
    """
    own = next((t for t in reversed(ledger) if t.run_id == run), None)
    if own is None:
        return {"trial": None, "trials": None, "deflated_sharpe": None}
    tried = trials.variants(ledger, own)
    return {
        "trial": [t.trial for t in tried].index(own.trial) + 1,
        "trials": len(tried),
        "deflated_sharpe": trials.deflated(ledger, own),
    }


def _order(row: Mapping[str, Any]) -> tuple[Any, ...]:
    last = row.get("trial") is None
    return ("broken" in row, row.get("strategy"), row.get("dataset"), last, row.get("trial") or 0,
            row["run"])  # fmt: skip


def text(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return what `kalshi-bt runs` prints."""
    rows = list(rows)
    whole = [row for row in rows if "broken" not in row]
    header = ["run", "dataset", "from", "to", "trades", "net P&L", "95 %", "Sharpe",
              "max drawdown", "trial", "deflated"]  # fmt: skip
    parts = [rendered("", header, map(_cells, whole))] if whole else ["no run\n"]
    parts += [f"broken: {row['broken']}\n" for row in rows if "broken" in row]
    return "".join(parts)


def _cells(row: Mapping[str, Any]) -> list[Any]:
    deflated = row["deflated_sharpe"]
    return [
        row["run"],
        row["dataset"],
        row["from"][:10],
        row["to"][:10],
        shown(row, "n_trades"),
        shown(row, "net_pnl"),
        _between(row, "net_pnl"),
        shown(row, "sharpe"),
        shown(row, "max_drawdown"),
        None if row["trial"] is None else f"{row['trial']} of {row['trials']}",
        None if deflated is None else f"{deflated:.2f}",
    ]


def _between(row: Mapping[str, Any], name: str) -> str | None:
    """Return where a score lies; None where no interval was computed."""
    found = row[name].get("interval")
    if not found:
        return None
    ends = (shown({name: row[name] | {"value": found[end]}}, name) for end in ("low", "high"))
    return " to ".join(ends)
