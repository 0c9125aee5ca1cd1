"""Where the exchange answers what, and how it is asked."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

LISTED = 1000  # rows of a page of markets or trades
EVENTS = 200  # events of a page
MOST_BARS = 4_999  # of a window; the exchange refuses more than 5,000
MOST_TICKERS = 50  # in a query, so that its line stays short
CUTOFF = "/historical/cutoff"
ACCOUNT = "/account/limits"


@dataclass(frozen=True)
class Route:
    """A question.

    Attributes
    ----------
    path : str
        Below the base address.
    params : dict
        The query, without a cursor.
    """

    path: str
    params: dict[str, str | int] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return the question as a user would type it."""
        query = "&".join(f"{name}={value}" for name, value in self.params.items())
        return f"{self.path}?{query}" if query else self.path


def series(name: str) -> Route:
    """Return the question for what a series is."""
    return Route(f"/series/{name}")


def series_fees() -> Route:
    """Return the question for all dated fees, past and to come."""
    return Route("/series/fee_changes", {"show_historical": "true"})


def event_fees() -> Route:
    """Return the question for all fees of single events."""
    return Route("/events/fee_changes", {"limit": LISTED})


def events(name: str, since: datetime | None, *, combos: bool) -> Route:
    """Return the question for the events of a series with a market that closes after `since`."""
    if combos:
        return Route("/events/multivariate", {"limit": EVENTS, "series_ticker": name})
    params: dict[str, str | int] = {"limit": EVENTS, "series_ticker": name}
    return Route("/events", params | ({} if since is None else {"min_close_ts": _floor(since)}))


def some_events(tickers: Iterable[str]) -> Route:
    """Return the question for events by name."""
    return Route("/events", {"limit": EVENTS, "tickers": ",".join(tickers)})


def markets(name: str, since: datetime | None, *, combos: bool) -> Route:
    """Return the question for the markets of a series that close after `since`."""
    params = _markets(name, combos=combos)
    return Route("/markets", params | ({} if since is None else {"min_close_ts": _floor(since)}))


def changed_markets(name: str, since: datetime) -> Route:
    """Return the question for the markets of a series that changed after `since`."""
    return Route("/markets", _markets(name, combos=False) | {"min_updated_ts": _floor(since)})


def some_markets(tickers: Sequence[str], *, archived: bool) -> Route:
    """Return the question for markets by name, in one of the tiers."""
    path = "/historical/markets" if archived else "/markets"
    return Route(path, {"limit": LISTED, "tickers": ",".join(tickers)})


def archived_markets(name: str) -> Route:
    """Return the question for the archived markets of a series."""
    return Route("/historical/markets", {"limit": LISTED, "series_ticker": name})


def candles(
    series: str, ticker: str, start: datetime, end: datetime, period: int, *, archived: bool
) -> Route:
    """Return the question for bars with start < end of the bar <= end."""
    path = f"/series/{series}/markets/{ticker}/candlesticks"
    return Route(
        f"/historical/markets/{ticker}/candlesticks" if archived else path,
        # Both ends are inclusive: a second later, so that no bar is sent twice.
        {
            "start_ts": _floor(start) + 1,
            "end_ts": _floor(end),
            "period_interval": period // 60,
        },
    )


def trades(ticker: str, start: datetime | None, end: datetime, *, archived: bool) -> Route:
    """Return the question for trades in a span, whole seconds around it."""
    params: dict[str, str | int] = {"limit": LISTED, "ticker": ticker}
    if start is not None:
        params["min_ts"] = _floor(start)
    path = "/historical/trades" if archived else "/markets/trades"
    return Route(path, params | {"max_ts": _floor(end) + 1})


def _markets(name: str, *, combos: bool) -> dict[str, str | int]:
    params: dict[str, str | int] = {"limit": LISTED, "series_ticker": name}
    return params if combos else params | {"mve_filter": "exclude"}


def _floor(time: datetime) -> int:
    return int(time.timestamp() // 1)
