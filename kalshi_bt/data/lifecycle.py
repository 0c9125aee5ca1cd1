"""The life of a result: determined, then maybe disputed and amended, at last finalized and paid.

A result goes determined → (disputed → amended | determined)* → finalized. The exchange is looked at
now and then, and its messages do not tell of disputes, so states may go unseen on the way forward:
a market may be met in any state, be amended or finalized without a dispute that was seen, and be
amended twice. Everything else contradicts what was said before:

- a market is determined twice with different payouts, or determined after it was amended, and no
  dispute lies between;
- anything but another payout, which is a correction, is said after it was finalized.

Nothing is paid before a result is finalized: a settlement follows from that state alone, and the
payout of a market is known from then on. See `docs.kalshi.com/getting_started/market_lifecycle`.
"""

from collections.abc import Mapping
from typing import NamedTuple

import polars as pl

from kalshi_bt.data.parts import Counts
from kalshi_bt.schema import DETERMINATIONS

FAULT, AFTER = "fault", "after"
REPEATED, IMPOSSIBLE = "repeated", "impossible_step"
_NEXT: Mapping[str | None, frozenset[str]] = {
    None: frozenset({"determined", "disputed", "amended", "finalized"}),
    "determined": frozenset({"disputed", "amended", "finalized"}),
    "disputed": frozenset({"determined", "amended", "finalized"}),
    "amended": frozenset({"disputed", "amended", "finalized"}),
    "finalized": frozenset({"finalized"}),
}


class Sifted(NamedTuple):
    """New rows by what becomes of them: good, bad (with reason and found), and how many repeat."""

    good: pl.DataFrame
    bad: pl.DataFrame
    repeated: int


def judged(rows: pl.DataFrame) -> pl.DataFrame:
    """Return each row with the fault it has as a step in the life of its market.

    Parameters
    ----------
    rows : frame
        ticker, time, status and payout, sorted by (ticker, time); other columns are kept.

    Returns
    -------
    frame
        With `fault`: null for a step that can be, ``repeated`` for one that says what is known
        already, ``impossible_step`` for one that cannot be, after which the state is as before; and
        `after`, the state before the row as text (null for the first of a market).

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> said = [("determined", 0), ("disputed", None), ("amended", 10_000), ("finalized", 10_000)]
    >>> rows = [("A", datetime(2026, 1, n + 1, tzinfo=UTC), *row) for n, row in enumerate(said)]
    >>> path = pl.DataFrame(rows, schema=DETERMINATIONS.columns, orient="row")
    >>> judged(path)["fault"].to_list()
    [None, None, None, None]
    >>> judged(path.reverse().with_columns(path["time"]))["fault"].to_list()
    [None, 'impossible_step', 'impossible_step', 'impossible_step']
    """
    faults: list[str | None] = []
    before: list[str | None] = []
    market: str | None = None
    state: str | None = None
    paid: int | None = None
    for ticker, status, payout in rows.select("ticker", "status", "payout").iter_rows():
        if ticker != market:
            market, state, paid = ticker, None, None
        said = None if status == "disputed" else payout
        before.append(state if state is None or paid is None else f"{state} {paid}")
        if (status, said) == (state, paid):
            faults.append(REPEATED)
        elif status in _NEXT[state]:
            faults.append(None)
            state, paid = status, said
        else:
            faults.append(IMPOSSIBLE)
    return rows.with_columns(
        pl.Series(FAULT, faults, pl.String), pl.Series(AFTER, before, pl.String)
    )


def sift_steps(new: pl.DataFrame, stored: pl.DataFrame) -> Sifted:
    """Return which new rows are steps that can be, given what is stored of their markets.

    Parameters
    ----------
    new : frame
        The columns of `schema.DETERMINATIONS` with unique keys; other columns are kept.
    stored : frame of schema.DETERMINATIONS
        Rows of the same markets, others do no harm; one with the key of a new row is replaced.
    """
    key = list(DETERMINATIONS.key)
    old = stored.join(new, on="ticker", how="semi").join(new, on=key, how="anti")
    is_new = pl.lit(value=True).alias("is new")
    both = pl.concat([new.with_columns(is_new), old], how="diagonal").sort(key)
    rows = judged(both).filter("is new")
    found = pl.format(
        "{} {} after {}",
        pl.col("status").cast(pl.String),
        pl.col("payout").cast(pl.String).fill_null("null"),
        AFTER,
    )
    bad = rows.filter(pl.col(FAULT) == IMPOSSIBLE)
    return Sifted(
        rows.filter(pl.col(FAULT).is_null()).select(new.columns),
        bad.select(*new.columns, reason=FAULT, found=found),
        rows.filter(pl.col(FAULT) == REPEATED).height,
    )


def payouts(rows: pl.DataFrame) -> pl.DataFrame:
    """Return when each market's payout was known and what it is; none that is not finalized.

    Parameters
    ----------
    rows : frame of schema.DETERMINATIONS
        Of any markets.

    Returns
    -------
    frame (ticker, time, payout)
        By ticker. Of a payout that was corrected, the correction; of one that was said twice, the
        first time.
    """
    steps = judged(rows).filter(pl.col(FAULT).is_null() & (pl.col("status") == "finalized"))
    last = steps.unique("ticker", keep="last", maintain_order=True)
    return last.select("ticker", "time", "payout")


def corrections(counts: Mapping[str, Counts]) -> list[str]:
    """Return a warning if a commit replaced settlements that were final.

    Examples
    --------
    >>> corrections({"settlements": Counts(updated=2), "revisions": Counts(added=2)})
    ['2 settlements were replaced by others; what stood before is in revisions']
    """
    replaced = counts.get("revisions", Counts()).added
    if not replaced:
        return []
    return [f"{replaced:,} settlements were replaced by others; what stood before is in revisions"]
