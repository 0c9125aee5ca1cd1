"""The endpoints: which path is answered by what, and the parameters it knows.

Paths and parameters are those of the exchange's OpenAPI file; a test compares the two.
"""

import re
from dataclasses import dataclass

from live_adapter.exchange import families, listings, tape, venue
from live_adapter.exchange.asked import Answer
from live_adapter.exchange.query import AnswerError


@dataclass(frozen=True)
class Route:
    """An endpoint.

    Attributes
    ----------
    path : str
        Under the root of the API, names in braces.
    answer : callable
        From what was asked to what is answered.
    parameters : tuple of str
        What may stand behind the question mark.
    secured : bool
        Whether it needs a key.
    """

    path: str
    answer: Answer
    parameters: tuple[str, ...] = ()
    secured: bool = False

    def match(self, path: str) -> dict[str, str] | None:
        """Return the names in a path, None if it is another one."""
        pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", self.path)
        found = re.fullmatch(pattern, path)
        return None if found is None else found.groupdict()


_PAGE = ("limit", "cursor")
_TRADES = (*_PAGE, "ticker", "min_ts", "max_ts", "is_block_trade")
_NAMES = ("tickers", "event_ticker", "series_ticker", "mve_filter")
_TIMES = ("min_created_ts", "max_created_ts", "min_updated_ts", "min_close_ts", "max_close_ts",
          "min_settled_ts", "max_settled_ts")  # fmt: skip
_WINDOW = ("start_ts", "end_ts", "period_interval")
_CARRY = "include_latest_before_start"
_EVENTS = (*_PAGE, "with_nested_markets", "series_ticker")

ROUTES = (  # the first that matches answers
    Route("/exchange/status", venue.status),
    Route("/exchange/schedule", venue.schedule),
    Route("/account/limits", venue.limits, secured=True),
    Route("/account/endpoint_costs", venue.costs),
    Route("/historical/cutoff", venue.cutoff),
    Route("/historical/markets", listings.historical_markets, (*_PAGE, *_NAMES)),
    Route("/historical/markets/{ticker}", listings.market("historical")),
    Route("/historical/markets/{ticker}/candlesticks", tape.candlesticks("historical"), _WINDOW),
    Route("/historical/trades", tape.trades("historical"), _TRADES),
    Route("/series", families.series_list, ("category", "tags", "include_product_metadata",
                                   "include_volume", "min_updated_ts")),
    Route("/series/fee_changes", families.series_fee_changes, ("series_ticker", "show_historical")),
    Route("/series/{series}", families.series, ("include_volume",)),
    Route("/series/{series}/markets/{ticker}/candlesticks", tape.candlesticks("live"),
          (*_WINDOW, _CARRY)),
    Route("/events", families.event_list(combos=False),
          (*_EVENTS, "with_milestones", "status", "tickers", "min_close_ts", "min_updated_ts")),
    Route("/events/multivariate", families.event_list(combos=True),
          (*_EVENTS, "collection_ticker")),
    Route("/events/fee_changes", families.event_fee_changes, (*_PAGE, "event_ticker")),
    Route("/events/{event}", families.event, ("with_nested_markets",)),
    Route("/markets", listings.markets, (*_PAGE, *_NAMES, *_TIMES, "status")),
    Route("/markets/trades", tape.trades("live"), _TRADES),
    Route("/markets/candlesticks", tape.batch_candlesticks, ("market_tickers", *_WINDOW, _CARRY)),
    Route("/markets/orderbooks", tape.orderbooks, ("tickers",)),
    Route("/markets/{ticker}", listings.market("live")),
    Route("/markets/{ticker}/orderbook", tape.orderbook, ("depth",)),
)  # fmt: skip


def route(path: str) -> tuple[Route, dict[str, str]]:
    """Return the endpoint of a path and the names in it.

    Raises
    ------
    AnswerError
        404 if there is none.

    Examples
    --------
    >>> route("/markets/trades")[0].path, route("/markets/X-1")[1]
    ('/markets/trades', {'ticker': 'X-1'})
    """
    for known in ROUTES:
        names = known.match(path)
        if names is not None:
            return known, names
    raise AnswerError(404, "not_found", f"no endpoint {path}")
