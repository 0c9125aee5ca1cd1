"""Outside series as they become known, joined to bars as of their ends."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import polars as pl

from kalshi_bt import schema
from kalshi_bt.data.asof import Reference, as_of

_SPARE = timedelta(minutes=10)  # what a derivation may cut into, when it begins inside a bar
_FEW = 10_000  # rows that are not worth looking through for old ones
_SERIES = ["source", "symbol", "field"]


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
        wanted = sorted({(each.source, each.field) for each in self.asked})
        kinds = {"source": pl.String, "field": pl.String}
        self._wanted = pl.DataFrame(wanted, schema=kinds, orient="row")
        self._rows = schema.REFERENCES.empty()
        self._few = _FEW

    def learn(self, rows: pl.DataFrame) -> None:
        """Take rows of schema.REFERENCES; others than those asked for are passed over."""
        found = rows.join(self._wanted, on=["source", "field"], how="semi", maintain_order="left")
        if found.height:
            self._rows = pl.concat([self._rows, found])

    def beside(self, bars: pl.DataFrame, markets: pl.DataFrame, now: datetime) -> pl.DataFrame:
        """Return the columns of the references for bars that end now.

        Parameters
        ----------
        bars : frame (market, time)
        markets : frame of schema.MARKETS
            Row i is market i.
        now : datetime
        """
        self._forget(now)
        columns = [pl.DataFrame()]
        for reference in self.asked:
            symbols = reference.symbols(markets)
            of_it = (pl.col("source") == reference.source) & (pl.col("field") == reference.field)
            meant = pl.col("symbol").is_in(symbols.drop_nulls().unique().implode())
            known = self._rows.filter(of_it & meant).select("symbol", "time", "value")
            known = known.unique(["symbol", "time"], keep="last").sort("symbol", "time")
            if reference.derive is not None:
                known = reference.derive(known)
            columns.append(as_of(bars, symbols, known, reference))
        return pl.concat(columns, how="horizontal")

    def _forget(self, now: datetime) -> None:
        if self._rows.height < self._few:
            return
        newest = pl.col("time") == pl.col("time").max().over(_SERIES)
        self._rows = self._rows.filter((pl.col("time") >= now - self._reach) | newest)
        self._few = max(_FEW, 2 * self._rows.height)


def _settled_on(reference: Reference, sources: Sequence[str]) -> Reference:
    """Return a reference with the first of its sources that there is, else as it is."""
    named = [name.strip() for name in reference.source.split(",")]
    found = next((name for name in named if name in sources), None)
    return reference if found is None else replace(reference, source=found)
