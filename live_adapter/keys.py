"""What would go wrong soon, said in one line each before anything starts.

Keys are read by `kalshi_bt.data.kalshi.auth.Credentials`; here they are tried.
"""

from collections.abc import Iterable
from datetime import timedelta
from urllib.parse import quote

from kalshi_bt.data.kalshi.client import Client
from kalshi_bt.errors import DataError, UsageError
from live_adapter.clock import Clock

SKEW = timedelta(seconds=5)  # between this clock and the exchange's
_STATUS = "/exchange/status"
_SECOND = timedelta(seconds=1)  # how finely the exchange tells its time


def preflight(
    client: Client, clock: Clock, tickers: Iterable[str] = (), *, skew: timedelta = SKEW
) -> None:
    """Return if the exchange is there, the clocks agree, the key is known and the markets exist.

    Parameters
    ----------
    client : Client
        Of the exchange; its key is tried if it has one.
    clock : Clock
        The clock signatures are made by.
    tickers : iterable of str
        Markets that must exist.
    skew : timedelta
        How far the clocks may be apart.

    Raises
    ------
    DataError
        If nobody answers at the address, or the key is refused.
    UsageError
        If the clocks are too far apart or a market does not exist.
    """
    check_clock(client, clock, skew=skew)
    if client.signed:
        client.get("/account/limits")
    for ticker in tickers:
        check_market(client, ticker)


def check_clock(client: Client, clock: Clock, *, skew: timedelta = SKEW) -> None:
    """Return if the clock agrees with the exchange's, as far as whole seconds tell.

    Raises
    ------
    DataError
        If nobody answers.
    UsageError
        If they are certainly more than `skew` apart.
    """
    known, before = client.time, clock.now()
    refused: DataError | None = None
    try:
        client.get(_STATUS)
    except DataError as error:  # a wrong clock can be the reason: its answer still tells the time
        if client.time is None:
            raise DataError(f"{error}; check the address and the network") from None
        if client.time == known:
            raise
        refused = error
    there = client.time
    if there is not None:
        ahead, behind = before - (there + _SECOND), there - clock.now()
        if max(ahead, behind) > skew:
            by, way = (ahead, "ahead of") if ahead > behind else (behind, "behind")
            raise UsageError(
                f"the clock is {by.total_seconds():.0f} s {way} that of {client.base_url}, which "
                f"refuses signatures of another time; set it (at most {skew.total_seconds():g} s)"
            )
    if refused is not None:
        raise refused


def check_market(client: Client, ticker: str) -> None:
    """Return if a market exists.

    Raises
    ------
    UsageError
        If it does not; names the markets of an event of that name.
    """
    name = quote(ticker, safe="")
    if client.get(f"/markets/{name}", absent_ok=True) is not None:
        return
    found = client.get(f"/events/{name}", absent_ok=True)
    if found is not None:
        markets = [str(market.get("ticker")) for market in found.get("markets") or ()]
        listed = ", ".join(markets[:5]) + (", …" if len(markets) > 5 else "")
        raise UsageError(f"{ticker} is an event, no market; its markets: {listed or 'none'}")
    raise UsageError(
        f"{client.base_url} has no market {ticker!r}: it settled long ago or never was; check its "
        "ticker"
    )
