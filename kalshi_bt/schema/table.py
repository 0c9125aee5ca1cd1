"""What the declaration of a table is, and the types that several tables share."""

from dataclasses import dataclass, field

import polars as pl

from kalshi_bt.errors import DataError

Time = pl.Datetime("us", "UTC")
Price = pl.Int16
OHLC = ("open", "high", "low", "close")
Schema = dict[str, pl.DataType | type[pl.DataType]]


@dataclass(frozen=True)
class Table:
    """A declared table.

    Attributes
    ----------
    name : str
        Its name in the store and in messages.
    columns : dict
        Column name to Polars type, key columns first.
    key : tuple of str
        The columns that make a row unique; rows are sorted by them.
    nullable : dict
        Columns that may be null, and what null means there.
    """

    name: str
    columns: Schema
    key: tuple[str, ...]
    nullable: dict[str, str] = field(default_factory=dict)

    def empty(self) -> pl.DataFrame:
        """Return the table without rows."""
        return pl.DataFrame(schema=self.columns)

    def filled(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return `frame` in the order of the key, absent columns that may be null as nulls.

        Examples
        --------
        >>> from kalshi_bt.schema import SERIES
        >>> SERIES.filled(SERIES.empty().drop("title")).columns == list(SERIES.columns)
        True
        """
        absent = (
            pl.lit(None, dtype=dtype).alias(name)
            for name, dtype in self.columns.items()
            if name in self.nullable and name not in frame.columns
        )
        return self.check(frame.with_columns(*absent).sort(self.key))

    def check(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return `frame` with its columns in declared order, or say what is wrong with it.

        Raises
        ------
        DataError
            If a column is missing or has another type, a value is null where null has no meaning,
            or the key is not unique and sorted.
        """
        for name, dtype in self.columns.items():
            if name not in frame.columns:
                raise DataError(f"{self.name} lacks column {name!r} ({dtype})")
            if frame.schema[name] != dtype:
                raise DataError(f"{self.name}.{name} is {frame.schema[name]}, expected {dtype}")
            if name not in self.nullable and frame[name].null_count():
                row = frame.with_row_index().filter(pl.col(name).is_null()).row(0, named=True)
                at = ", ".join(f"{k}={row[k]}" for k in self.key)
                raise DataError(f"{self.name}.{name} is null at {at}; null has no meaning there")
        frame = frame.select(list(self.columns))
        if frame.height > 1:
            self._check_order(frame)
        return frame

    def _check_order(self, frame: pl.DataFrame) -> None:
        keys = frame.select(pl.struct(self.key).alias("key"))["key"]
        ordered = frame.select(self.key).equals(frame.select(self.key).sort(self.key))
        if not ordered:
            raise DataError(f"{self.name} is not sorted by ({', '.join(self.key)})")
        if keys.n_unique() < frame.height:
            twice = frame.select(self.key).filter(keys.is_duplicated()).row(0)
            raise DataError(f"{self.name} has the key {twice} more than once")
