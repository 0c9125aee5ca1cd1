"""An archive of markets and trades in many small parquet files, read in bounded memory.

The layout of Jon-Becker/prediction-market-analysis: `markets/*.parquet` and `trades/*.parquet`, in
files of 10,000 rows or in one each. Prices are whole cents, times without a zone are UTC.

==========================  ========================================================================
what the archive has        what becomes of it
==========================  ========================================================================
28, 56, 57 where YES + NO   29, 57, 58 (`becker_trades`); counted
is 99 cents
other sums of 99            stored as they are, in whole cents of YES; counted
a count of 0                less than a contract: in quarantine (``sub_contract``)
several rows of a market    the newest by `_fetched_at`; the others are skipped (``stale``)
a trade fetched again       once, as the last file has it; the others are skipped (``duplicate``)
bid, ask, last, volume and  never read: they are of the moment of fetching, after the end
open interest of a market
close_time                  `settlements.close_time`, because an early close is an outcome.
                            `markets.close_time` is the schedule where it is known without the end:
                            from the ticker, or from a row fetched before the close; else null.
                            Name series that never close early in `punctual`
no time of settlement       the close plus a lag: 1 h for fifteen-minute and hourly series, 24 h for
                            the others, or what `lags` says
no strikes                  from ticker and subtitle (`becker_terms`), or none
no result                   a market without settlement (``open``); counted
trades of no market         the market is made from its ticker, without schedule and result; counted
no fees                     the published ones of well-known series, else the general schedule;
                            counted. Fees that are stored already stay
==========================  ========================================================================

Importing again changes nothing, new files only add, and what another source said of a market stays
where the archive does not know better.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from kalshi_bt.data.importers.account import ImportReport
from kalshi_bt.data.importers.becker_files import find
from kalshi_bt.data.importers.becker_rows import Archive
from kalshi_bt.data.progress import OnProgress, Progress, silent
from kalshi_bt.data.store import Store
from kalshi_bt.errors import UsageError
from kalshi_bt.units import parse_duration

# Memory that typing and checking a row takes, with its copies; and more rows gain nothing.
_ROW, _MOST = 2_000, 500_000
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)i?B\s*", re.IGNORECASE)


def import_becker(
    sources: Sequence[Path],
    into: Path,
    *,
    on_progress: OnProgress = silent,
    memory: str = "2GB",
    lags: Mapping[str, str] | None = None,
    punctual: Sequence[str] = (),
) -> ImportReport:
    """Read an archive into a dataset, all or nothing, and return what became of its rows.

    Parameters
    ----------
    sources : sequence of Path
        Folders that hold `markets` and `trades`, or whose folder `becker` or `kalshi` does.
    into : Path
        The dataset's folder; made if it is absent or empty.
    on_progress : callable
        Told after each file.
    memory : str
        About what to use at most, such as ``2GB``; an eighth of it holds rows on their way.
    lags : mapping of prefix to duration, optional
        From a close until the payout was known, for series that start with the prefix; the longest
        prefix wins.
    punctual : sequence of str
        Prefixes of series that never close early.

    Raises
    ------
    DataError
        If a file cannot be read or lacks a column, or the dataset cannot be written.
    UsageError
        If `memory` is no size, or a lag no duration.
    """
    size = _bytes(memory)
    for lag in (lags or {}).values():
        parse_duration(lag)
    markets, trades = find([Path(source) for source in sources])
    store = Store.create(into, name=Path(into).resolve().name, exist_ok=True)
    with store.bulk(memory=size // 8) as bulk:
        archive = Archive(store, bulk, min(max(size // _ROW, 1_000), _MOST), on_progress)
        archive.add_markets(markets, lags or {}, punctual)
        archive.add_trades(trades)
        archive.add_derived()
        archive.add_series()
        on_progress(Progress("storing", 0, None, markets.rows + trades.rows))
    return archive.report(store.fingerprint())


def _bytes(text: str) -> int:
    """Return bytes from a size such as 500MB or 2GB."""
    found = _SIZE.fullmatch(text)
    if found is None:
        raise UsageError(f"{text!r} is not a size, such as 500MB or 2GB")
    return int(float(found[1]) * 1_000 ** " KMGT".index(found[2].upper() or " "))
