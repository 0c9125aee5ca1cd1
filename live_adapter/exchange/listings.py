"""Markets: the live list, the archived list, and one of either tier."""

import polars as pl

from live_adapter.exchange import wire
from live_adapter.exchange.asked import Answer, Asked
from live_adapter.exchange.query import Query, bad_request, not_found, page
from live_adapter.exchange.wire import Json

STATES = {
    "unopened": ("initialized",),
    "open": ("active",),
    "paused": ("inactive",),
    "closed": ("closed", "determined", "disputed", "amended"),
    "settled": ("finalized",),
}
FAMILIES = {  # of time filters: the column, and the states it goes with
    "created": ("created", ("unopened", "open", None)),
    "close": ("close", ("closed", None)),
    "settled": ("settled", ("settled", None)),
    "updated": ("updated", (None,)),
}


def wired(asked: Asked, rows: pl.DataFrame) -> list[Json]:
    """Return markets with their quotes."""
    quotes = asked.archive.quotes(rows["ticker"].to_list()) if rows.height else {}
    return [wire.market(row, quotes.get(row["ticker"], {})) for row in rows.iter_rows(named=True)]


def _named(query: Query) -> pl.Expr:
    """Return the filter by series, event and tickers; combos only where they are wanted."""
    wanted = pl.lit(True)
    for parameter, column in (("series_ticker", "series"), ("event_ticker", "event")):
        if (name := query.text(parameter)) is not None:
            wanted &= pl.col(column) == name
    if tickers := query.listed("tickers"):
        wanted &= pl.col("ticker").is_in(tickers)
    combos = query.choice("mve_filter", ("only", "exclude"))
    if combos is not None:
        wanted &= pl.col("combo") if combos == "only" else ~pl.col("combo")
    return wanted


def _between(query: Query, status: str | None) -> pl.Expr:
    """Return the filter by one family of times."""
    given = {
        family: (query.time(f"min_{family}_ts"), query.time(f"max_{family}_ts"))
        for family in FAMILIES
    }
    given = {family: times for family, times in given.items() if times != (None, None)}
    if len(given) > 1:
        raise bad_request("timestamp filters are mutually exclusive")
    wanted = pl.lit(True)
    for family, (low, high) in given.items():
        column, states = FAMILIES[family]
        if status not in states:
            raise bad_request(f"{family} timestamps cannot be combined with status {status}")
        if low is not None:
            wanted &= pl.col(column) >= low
        if high is not None:
            wanted &= pl.col(column) <= high
    if "updated" in given:
        _only_combo_filter(query)
    return wanted


def _only_combo_filter(query: Query) -> None:
    """Refuse what `min_updated_ts` cannot be combined with."""
    if query.text("event_ticker") or query.text("tickers"):
        raise bad_request("min_updated_ts is incompatible with other filters")
    if query.text("series_ticker") and query.text("mve_filter") != "exclude":
        raise bad_request("min_updated_ts with series_ticker requires mve_filter=exclude")


def markets(asked: Asked) -> Json:
    """Answer the live list of markets, by ticker."""
    query = asked.query
    status = query.choice("status", tuple(STATES))
    wanted = pl.col("live") & _named(query) & _between(query, status)
    if status is not None:
        wanted &= pl.col("status").is_in(STATES[status])
    found = asked.archive.markets().lazy().filter(wanted)
    rows, cursor = page(found, (("ticker", False),), query, "markets", default=100, most=1000)
    return {"markets": wired(asked, rows), "cursor": cursor}


def historical_markets(asked: Asked) -> Json:
    """Answer the archived markets, newest settlement first."""
    query = asked.query
    filters = ("tickers", "event_ticker", "series_ticker", "mve_filter")
    if len([name for name in filters if query.text(name) is not None]) > 1:
        raise bad_request("filters are mutually exclusive")
    found = asked.archive.markets().lazy().filter(pl.col("historical") & _named(query))
    key = (("settled", True), ("ticker", False))
    rows, cursor = page(found, key, query, "historical/markets", default=100, most=1000)
    return {"markets": wired(asked, rows), "cursor": cursor}


def one(asked: Asked, tier: str) -> Json:
    """Return the market a path names, or refuse with 404 where its tier lacks it."""
    found = asked.archive.market(asked.names["ticker"], tier)
    if found is None:
        raise not_found(f"market {asked.names['ticker']}")
    return found


def market(tier: str) -> Answer:
    """Return the endpoint of one market of a tier."""

    def answer(asked: Asked) -> Json:
        row = one(asked, tier)
        quotes = asked.archive.quotes([row["ticker"]])
        return {"market": wire.market(row, quotes.get(row["ticker"], {}))}

    return answer
