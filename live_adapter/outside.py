"""Outside series as they become known, joined to bars as of their ends."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from kalshi_bt import schema
from kalshi_bt.data.asof import Reference, as_of

_SPARE = timedelta(minutes=10)  # what a derivation may cut into, when it begins inside a bar
_FEW = 2_000  # rows that are not worth looking through for old ones


class Outside:
    """The references that a signal asks for, as far as they are known.

    Parameters
    ----------
    asked : sequence of Reference
    sources : sequence of str
        Whose rows will come. Of several that a reference names, the first of these is meant.

    Notes
    -----
    Rows that nothing can depend on any more are dropped: those older than the longest age and
    history asked for, except the newest of each series.
    """

    def __init__(self, asked: Sequence[Reference], sources: Sequence[str]) -> None:
        self.asked = tuple(_settled_on(each, sources) for each in asked)
        self.columns = tuple(name for each in self.asked for name in each.columns)
        ages = [each.max_age or timedelta(0) for each in self.asked]
        past = [each.history for each in self.asked]
        self._reach = max(ages, default=timedelta(0)) + max(past, default=timedelta(0)) + _SPARE
        self._rows = {(each.source, each.field): _Rows() for each in self.asked}

    def learn(self, rows: pl.DataFrame) -> None:
        """Take rows of schema.REFERENCES; others than those asked for are passed over."""
        if rows.is_empty():
            return
        for (source, field), kept in self._rows.items():
            mine = (pl.col("source") == source) & (pl.col("field") == field)
            kept.add(rows.filter(mine).select("symbol", "time", "value"))

    def beside(self, bars: pl.DataFrame, markets: pl.DataFrame, now: datetime) -> pl.DataFrame:
        """Return the columns of the references for bars that end now.

        Parameters
        ----------
        bars : frame (market, time)
        markets : frame of schema.MARKETS
            Row i is market i.
        now : datetime
        """
        columns = [pl.DataFrame()]
        for reference in self.asked:
            symbols = reference.symbols(markets)
            known = self._rows[reference.source, reference.field].since(now - self._reach)
            known = known.filter(pl.col("symbol").is_in(symbols.drop_nulls().unique().implode()))
            if reference.derive is not None:
                known = reference.derive(known.sort("symbol", "time"))
            columns.append(as_of(bars, symbols, known, reference))
        return pl.concat(columns, how="horizontal")

    def state(self) -> list[dict[str, Any]]:
        """Return what it knows; `restore` takes it back."""
        return [vars(rows) for rows in self._rows.values()]

    def restore(self, state: Sequence[Mapping[str, Any]]) -> None:
        """Go on from a `state`."""
        for rows, found in zip(self._rows.values(), state, strict=True):
            vars(rows).update(found)


class _Rows:
    """Rows (symbol, time, value) of one field of a source, no (symbol, time) twice."""

    def __init__(self) -> None:
        self._rows = schema.REFERENCES.empty().select("symbol", "time", "value")
        self._few = _FEW

    def add(self, rows: pl.DataFrame) -> None:
        """Take rows; one that was told before is replaced."""
        if rows.height:
            both = pl.concat([self._rows, rows])
            self._rows = both.unique(["symbol", "time"], keep="last", maintain_order=True)

    def since(self, time: datetime) -> pl.DataFrame:
        """Return the rows since a time, some older ones among them: of each symbol the newest."""
        if self._rows.height > self._few:
            newest = pl.col("time") == pl.col("time").max().over("symbol")
            self._rows = self._rows.filter((pl.col("time") >= time) | newest)
            self._few = max(_FEW, self._rows.height * 5 // 4)
        return self._rows


def _settled_on(reference: Reference, sources: Sequence[str]) -> Reference:
    """Return a reference with the first of its sources that there is, else as it is."""
    named = [name.strip() for name in reference.source.split(",")]
    found = next((name for name in named if name in sources), None)
    return reference if found is None else replace(reference, source=found)
