"""Fees of the series in an archive that records none: what the exchange published, by series.

Rows of a series end where its next one starts. Everything else has the general schedule: takers
pay, makers do not.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

import polars as pl

from kalshi_bt.schema import SERIES
from kalshi_bt.units import RATE_SCALE

_ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)
_INDEX_UNTIL = datetime(2026, 7, 3, 17, tzinfo=UTC)
_FREE, _MAKERS = "quadratic", "quadratic_with_maker_fees"
_HALF = RATE_SCALE // 2

Row = tuple[datetime, str, int]
_USUAL: tuple[Row, ...] = ((_ALWAYS, _FREE, RATE_SCALE),)
# Until June 2025 makers of these series paid a flat quarter of a cent a contract, and nothing some
# time before that; when is not known, so the later fee stands for all of it.
_WITH_MAKERS: tuple[Row, ...] = ((_ALWAYS, _MAKERS, RATE_SCALE),)
_INDEX: tuple[Row, ...] = ((_ALWAYS, _FREE, _HALF), (_INDEX_UNTIL, _FREE, RATE_SCALE))
_INDEX_YEAR: tuple[Row, ...] = ((_ALWAYS, _MAKERS, _HALF), (_INDEX_UNTIL, _MAKERS, RATE_SCALE))
_COINS = ("BTC", "ETH", "SOL", "XRP", "DOGE", "BNB", "HYPE")

KNOWN: dict[str, tuple[Row, ...]] = {
    **dict.fromkeys(("KXNBAGAME", "KXNBASPREAD", "KXNBATOTAL", "KXLLM1"), _WITH_MAKERS),
    **dict.fromkeys(("INX", "INXU", "NASDAQ100", "NASDAQ100U"), _INDEX),
    **dict.fromkeys(("KXINX", "KXINXU", "KXNASDAQ100", "KXNASDAQ100U"), _INDEX),
    **dict.fromkeys(("KXINXY", "KXNASDAQ100Y"), _INDEX_YEAR),
    **dict.fromkeys((f"KX{coin}15M" for coin in _COINS), _USUAL),
    **dict.fromkeys(("KXBTC", "KXBTCD"), _USUAL),
}


def fee_rows(series: Sequence[str]) -> tuple[pl.DataFrame, int]:
    """Return the dated fee rows of series, and of how many the general schedule was assumed.

    Examples
    --------
    >>> rows, assumed = fee_rows(["KXBTC15M", "KXHIGHNY", "KXINX"])
    >>> rows["series"].to_list(), assumed
    (['KXBTC15M', 'KXHIGHNY', 'KXINX', 'KXINX'], 1)
    """
    rows = [(name, *row) for name in series for row in KNOWN.get(name, _USUAL)]
    names = ("series", "effective_from", "fee_type", "fee_multiplier")
    kinds = {name: SERIES.columns[name] for name in names}
    frame = pl.DataFrame(rows, schema=kinds, orient="row")
    return SERIES.filled(frame), sum(name not in KNOWN for name in series)
