"""What an account was told of its markets, beside their bars."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import polars as pl

from kalshi_bt import schema
from kalshi_bt.errors import DataError, UsageError
from kalshi_bt.simulator.state import Ints
from kalshi_bt.simulator.tape import Tape, prepare

Rates = Callable[[pl.DataFrame], pl.DataFrame]
_NAMES = ("markets", "closes", "settled", "said")


class Known:
    """Markets, when they close, what was said of their results, and what was paid.

    Parameters
    ----------
    rates : callable
        Given the markets by ticker, returns their dated fee rates as `fees.market_rates` does.

    Attributes
    ----------
    markets : frame or None
        By ticker; their rows are their numbers. None before the first.
    """

    def __init__(self, rates: Rates) -> None:
        self.rates = rates
        self.markets: pl.DataFrame | None = None
        self.closes: dict[str, datetime] = {}
        self.settled = schema.SETTLEMENTS.empty()
        self.said = schema.DETERMINATIONS.empty()

    def with_more(self, markets: pl.DataFrame) -> pl.DataFrame | None:
        """Return the markets with those that are new, by ticker; None where none is."""
        known = markets
        if self.markets is not None:
            new = markets.join(self.markets, on="ticker", how="anti")
            if new.is_empty():
                return None
            known = pl.concat([self.markets, new.select(self.markets.columns)])
        return known.with_columns(pl.col("ticker").cast(pl.String)).sort("ticker")

    def determine(self, rows: pl.DataFrame) -> None:
        """Take what was said of results: frame of schema.DETERMINATIONS."""
        said = pl.concat([self.said, rows]).unique(schema.DETERMINATIONS.key, keep="first")
        self.said = said.sort(schema.DETERMINATIONS.key)

    def settle(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Take what was paid, and return it without markets that were paid before."""
        new = rows.join(self.settled, on="ticker", how="anti")
        self.settled = pl.concat([self.settled, new]).sort("ticker")
        return new

    def forget(self, tickers: pl.Series) -> pl.DataFrame:
        """Drop all but the markets of some tickers, and return those."""
        kept = pl.col("ticker").is_in(tickers.implode())
        self.settled, self.said = self.settled.filter(kept), self.said.filter(kept)
        names = set(tickers)
        self.closes = {ticker: end for ticker, end in self.closes.items() if ticker in names}
        return self.table().filter(kept)

    def table(self) -> pl.DataFrame:
        """Return the markets.

        Raises
        ------
        UsageError
            If there is none yet.
        """
        if self.markets is None:
            raise UsageError("a session has no market yet; list one first")
        return self.markets

    def column(self, name: str) -> pl.Series:
        """Return a column of the markets, empty without any."""
        return pl.Series(dtype=pl.String) if self.markets is None else self.markets[name]

    def numbers(self, tickers: pl.Series) -> Ints:
        """Return the numbers of markets.

        Raises
        ------
        DataError
            If one is not known.
        """
        names, asked = self.table()["ticker"], tickers.cast(pl.String)
        at = names.search_sorted(asked)
        found = names.gather(at.clip(upper_bound=max(len(names) - 1, 0))) if len(names) else None
        if len(asked) and (found is None or (found != asked).any()):
            stranger = asked[0] if found is None else asked.filter(found != asked)[0]
            raise DataError(f"{stranger} is not listed in this session")
        return at.cast(pl.Int64).to_numpy()

    def numbered(self, intents: pl.DataFrame) -> pl.DataFrame:
        """Return intents with the numbers of their markets, in the order in which they count."""
        market = pl.Series(self.numbers(intents["ticker"])).cast(pl.UInt32)
        return intents.with_columns(market=market).sort("time", "market", maintain_order=True)

    def facts(self) -> Tape:
        """Return a tape of what is known of the markets, without bars."""
        known = pl.DataFrame(
            {"ticker": list(self.closes), "closed": list(self.closes.values())},
            schema={"ticker": pl.String, "closed": schema.Time},
        )
        listed = self.table().join(known, on="ticker", how="left", maintain_order="left")
        listed = listed.with_columns(close_time=pl.coalesce("closed", "close_time")).drop("closed")
        rates = self.rates(listed)
        return prepare(schema.BARS.empty(), listed, self.settled, rates, self.said)

    def state(self) -> dict[str, Any]:
        """Return what was told by name; `restore` takes it back."""
        return {name: getattr(self, name) for name in _NAMES}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state`."""
        for name in _NAMES:
            setattr(self, name, state[name])
