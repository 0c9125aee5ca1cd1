"""Leaderboards as tables: snapshots, what changed between them, and the columns a signal reads."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Final

import polars as pl

from kalshi_bt.schema import REFERENCES, Schema, Time
from kalshi_bt.signals.leaderboard_names import (
    code,
    contract_name,
    organization_key,
    organization_of,
)
from kalshi_bt.signals.leaderboard_odds import rank_upper_bounds
from kalshi_bt.signals.leaderboard_rules import (
    ResolutionRule,
    resolve_top_model,
    resolve_top_organization,
)

__all__ = [
    "CHANGES",
    "CONTRACTS",
    "changes",
    "contracts",
    "derived",
    "named",
    "rank_differences",
    "ranked",
    "snapshots",
]

# What a contract of a series names; SYN: of events whose quotes are invented.
CONTRACTS: Final = {
    **{f"{kind}TOPMODEL": "model" for kind in ("KX", "SYN")},
    **{f"{kind}LLM1": "organization" for kind in ("KX", "SYN")},
}
BOARD: Final = "arena/text"  # the one that the signal reads
NUMBERS: Final = ("rank", "rank_ub", "score", "low", "high", "votes", "preliminary")
PRELIMINARY_VOTES = 500
_LEAST_SHIFT = 3.0
_WIN_RATE_SHIFT = 0.01
_SLACK = 1e-9

CHANGES: Final[Schema] = {
    "time": Time,
    "event_type": pl.Enum(
        [
            *("new_leader", "ranking_change", "score_shift"),
            *("pairwise_shift", "new_model", "model_removed"),
        ]
    ),
    "urgency": pl.Enum(["LOW", "MEDIUM", "HIGH"]),
    "model": pl.String,  # of new_leader: the new one
    "previous": pl.String,  # the leader before
    "organization": pl.String,  # of new_leader: the one on top now
    "source": pl.String,
    "old_rank_ub": pl.Float64,
    "rank_ub": pl.Float64,
    "rank": pl.Float64,
    "old_score": pl.Float64,
    "score": pl.Float64,
    "votes": pl.Float64,
    "preliminary": pl.Boolean,
    "release_date": pl.String,
    "old_win_rate": pl.Float64,
    "win_rate": pl.Float64,
    "old_battles": pl.Float64,
    "battles": pl.Float64,
}


def snapshots(references: pl.DataFrame, source: str = "arena/text") -> pl.DataFrame:
    """Return one row a model and snapshot from rows of `schema.REFERENCES`.

    Parameters
    ----------
    references : frame
    source : str
        The board.

    Returns
    -------
    frame (time, model, organization, rank, rank_ub, score, low, high, votes, preliminary)
        Numbers are Float64, null where not stated; sorted by time and model.
    """
    own = references.filter(source=source)
    key = ["time", "symbol"]
    words = own.filter(field="organization").select(*key, organization="text")
    numbers = [own.filter(field=name).select(*key, pl.col("value").alias(name)) for name in NUMBERS]
    made = own.select(key).unique()
    for part in (words, *numbers):
        made = made.join(part, on=key, how="left")
    return made.rename({"symbol": "model"}).sort("time", "model")


def rank_differences(board: pl.DataFrame) -> pl.DataFrame:
    """Return the models whose displayed best rank is not the one their intervals give.

    Parameters
    ----------
    board : frame (time, model, rank_ub, low, high)
        As `snapshots` returns it.

    Returns
    -------
    frame (time, model, rank_ub, computed)
        Intervals of rounded scores are a point too wide or too narrow; a difference of many ranks
        means that the source displays another number under that name.
    """
    parts = [
        one.with_columns(computed=pl.Series(rank_upper_bounds(one["low"], one["high"])))
        for one in board.drop_nulls(["low", "high", "rank_ub"]).partition_by("time")
    ]
    kept = ["time", "model", "rank_ub", "computed"]
    if not parts:
        return board.clear().select("time", "model", "rank_ub", computed=pl.lit(0, pl.Int64))
    return pl.concat(parts).filter(pl.col("computed") != pl.col("rank_ub")).select(kept)


def changes(
    board: pl.DataFrame,
    source: str = "arena/text",
    rule: str | ResolutionRule = "cascade",
    cutoff: float | None = None,
) -> pl.DataFrame:
    """Return what each snapshot changed against the one before; the first changes nothing.

    Parameters
    ----------
    board : frame
        As `snapshots` returns it, in whole: what a snapshot does not list is gone. Optional columns
        release_date (String), win_rate and battles (Float64, of all pairs of a model).
    source : str
    rule : str or ResolutionRule
        Who leads.
    cutoff : float, optional
        Rank, score and pairwise changes count only for models with a best rank up to this one,
        before or after.

    Returns
    -------
    frame of `CHANGES`
        By time; within a time by event type as declared, then by model.
    """
    optional: Schema = {"release_date": pl.String, "win_rate": pl.Float64, "battles": pl.Float64}
    absent = [
        pl.lit(None, dtype=dtype).alias(name)
        for name, dtype in optional.items()
        if name not in board.columns
    ]
    whole = board.with_columns(*absent).with_columns(
        pl.coalesce("rank_ub", "rank").alias("rank_ub"),
        preliminary=pl.coalesce(pl.col("preliminary") > 0, pl.col("votes") < PRELIMINARY_VOTES),
    )
    every = whole.sort("time").partition_by("time", maintain_order=True)
    parts = [part for old, new in pairwise(every) for part in _changed(old, new, rule, cutoff)]
    empty = pl.DataFrame(schema=CHANGES)
    made = pl.concat([empty, *parts], how="diagonal_relaxed") if parts else empty
    return (
        made.with_columns(source=pl.lit(source))
        .select(pl.col(name).cast(dtype) for name, dtype in CHANGES.items())
        .sort("time", "event_type", "model")
    )


def _changed(
    old: pl.DataFrame, new: pl.DataFrame, rule: str | ResolutionRule, cutoff: float | None
) -> list[pl.DataFrame]:
    """Return the changes of one snapshot, by type."""
    now = new["time"][0]
    kept = ("rank_ub", "rank", "score", "win_rate", "battles")
    before = old.select("model", **{f"old_{name}": name for name in kept})
    both = new.join(before, on="model", how="inner")
    if cutoff is not None:
        both = both.filter(pl.min_horizontal("rank_ub", "old_rank_ub") <= cutoff)
    first = (pl.col("rank_ub") == 1) | (pl.col("old_rank_ub") == 1)
    moved = (pl.col("rank_ub") != pl.col("old_rank_ub")) | (pl.col("rank") != pl.col("old_rank"))
    shift = (pl.col("score") - pl.col("old_score")).abs() + _SLACK >= _LEAST_SHIFT
    rate = (pl.col("win_rate") - pl.col("old_win_rate")).abs() + _SLACK >= _WIN_RATE_SHIFT
    fought = pl.col("battles") != pl.col("old_battles")
    gone = old.join(new, on="model", how="anti").with_columns(time=pl.lit(now, dtype=Time))
    fresh = new.join(old, on="model", how="anti")
    leads = [resolve_top_model(one, rule) for one in (old, new)]
    leader = pl.DataFrame(
        {
            "time": [now],
            "model": [leads[1]],
            "previous": [leads[0]],
            "organization": [resolve_top_organization(new, rule)],
        },
        schema={name: CHANGES[name] for name in ("time", "model", "previous", "organization")},
    ).filter(pl.col("model") != pl.col("previous"))
    high, medium, low = pl.lit("HIGH"), pl.lit("MEDIUM"), pl.lit("LOW")
    found = {
        "new_leader": (leader, high),
        "ranking_change": (both.filter(moved), pl.when(first).then(high).otherwise(medium)),
        "score_shift": (both.filter(shift), medium),
        "pairwise_shift": (both.filter(rate | fought), medium),
        "new_model": (fresh, pl.when(pl.col("rank_ub") == 1).then(high).otherwise(low)),
        "model_removed": (gone, low),
    }
    return [
        frame.with_columns(event_type=pl.lit(name), urgency=urgency).select(
            pl.selectors.by_name(*CHANGES, require_all=False)
        )
        for name, (frame, urgency) in found.items()
    ]


def ranked(board: pl.DataFrame, count: int, source: str = "arena/text") -> pl.DataFrame:
    """Return the `count` highest scores of each snapshot as references, place by place.

    Parameters
    ----------
    board : frame
        As `snapshots` returns it.
    count : int
        Places to keep.
    source : str
        Of the board.

    Returns
    -------
    frame of `schema.REFERENCES`
        Source ``<source>/places``, symbols "1" to "<count>", fields score, low, high, preliminary,
        and model and organization as `leaderboard_names.code`; whose a model is follows from its
        name where the board does not state it. A place that a snapshot does not
        have is there with a null value, so that an older one does not stand in for it.
    """
    names = board["model"].unique()
    makers = board["organization"].drop_nulls().unique()
    named = board.filter(pl.col("score").is_not_null()).with_columns(
        place=pl.col("score").rank("ordinal", descending=True).over("time", order_by="model"),
        model=pl.col("model").replace_strict(
            {name: code(name) for name in names}, return_dtype=pl.Float64
        ),
        organization=pl.coalesce(
            _coded("organization", {name: organization_key(name) for name in makers}),
            _coded("model", {name: organization_of(name) for name in names}),
        ),
        **{name: pl.col(name).fill_null(pl.col("score")) for name in ("low", "high")},
    )
    places = pl.DataFrame({"place": pl.int_range(1, count + 1, dtype=pl.UInt32, eager=True)})
    fields = ["score", "low", "high", "preliminary", "model", "organization"]
    grid = board.select(pl.col("time").unique()).join(places, how="cross")
    long = (
        grid.join(named, on=["time", "place"], how="left")
        .unpivot(fields, index=["time", "place"], variable_name="field", value_name="value")
        .with_columns(
            source=pl.lit(f"{source}/places"),
            symbol=pl.col("place").cast(pl.String),
            text=pl.lit(None, dtype=pl.String),
        )
    )
    return REFERENCES.filled(long.select(list(REFERENCES.columns)))


def _coded(column: str, keys: Mapping[str, str | None]) -> pl.Expr:
    """Return the code of what a name stands for; null where it stands for nothing."""
    codes = {name: code(key) for name, key in keys.items() if key is not None}
    return pl.col(column).replace_strict(codes, default=None, return_dtype=pl.Float64)


def contracts(markets: pl.DataFrame) -> pl.DataFrame:
    """Return what each contract is about as references.

    Parameters
    ----------
    markets : frame of `schema.MARKETS`
        Of series ``KXTOPMODEL`` (the subtitle is a model), ``KXLLM1`` (an organisation or its
        product) and the same with SYN for KX; others are left out.

    Returns
    -------
    frame of `schema.REFERENCES`
        Source ``contract``, symbol = ticker, field ``name``: its code, 0 for "Other".
        Known from the listing on; without an opening time, from ever.
    """
    rows = []
    facts = markets.select("ticker", "series", "title", "subtitle", "open_time")
    for ticker, series, title, subtitle, opened in facts.iter_rows():
        name = contract_name(subtitle, title)
        if series in CONTRACTS and name is not None:
            named = name if CONTRACTS[series] == "model" else organization_key(name)
            rows.append((ticker, opened, code(named)))
    made = pl.DataFrame(
        rows, schema={"symbol": pl.String, "time": Time, "value": pl.Float64}, orient="row"
    )
    return REFERENCES.filled(
        made.with_columns(
            source=pl.lit("contract"),
            field=pl.lit("name"),
            time=pl.col("time").fill_null(pl.lit(0).cast(Time)),
            text=pl.lit(None, dtype=pl.String),
        )
    )


def named(places: pl.DataFrame, markets: pl.DataFrame) -> pl.DataFrame:
    """Return which places of a board the other contracts of the event of an "Other" name.

    Parameters
    ----------
    places : frame of `schema.REFERENCES`
        As `ranked` returns it, of one board.
    markets : frame of `schema.MARKETS`
        As for `contracts`; a contract counts from its listing on.

    Returns
    -------
    frame of `schema.REFERENCES`
        Source ``contract``, symbol = ticker of the "Other", field ``named``: the sum of 2^(place-1)
        over such places, at every snapshot and listing up to its close.
    """
    listed = (
        contracts(markets)
        .select(ticker="symbol", since="time", name="value")
        .join(markets.select("ticker", "event", "close_time", kind=_kind()), on="ticker")
    )
    rest = listed.filter(name=0.0).select("ticker", "event", "kind", "close_time")
    own = listed.filter(pl.col("name") != 0.0).select("event", "name", "since")
    held = places.filter(pl.col("field").is_in(["model", "organization"]))
    board = held.select("time", kind="field", place=pl.col("symbol").cast(pl.Int64), name="value")
    boards = board.select("time").unique().sort("time")
    moments = pl.concat(
        [
            rest.join(boards, how="cross").select("ticker", "event", "kind", "close_time", "time"),
            rest.join(own, on="event").select(
                "ticker", "event", "kind", "close_time", time="since"
            ),
        ]
    )
    open_ = pl.col("close_time").is_null() | (pl.col("time") <= pl.col("close_time"))
    moments = moments.filter(open_).drop("close_time").unique().sort("time")
    at = moments.join_asof(boards.with_columns(board="time"), on="time").drop_nulls("board")
    found = (
        at.join(board.rename({"time": "board"}), on=["board", "kind"])
        .join(own, on=["event", "name"], how="left")
        .group_by("ticker", "time")
        .agg(value=(2.0 ** (pl.col("place") - 1)).filter(pl.col("since") <= pl.col("time")).sum())
    )
    return REFERENCES.filled(
        found.select(
            "time",
            "value",
            source=pl.lit("contract"),
            symbol="ticker",
            field=pl.lit("named"),
            text=pl.lit(None, dtype=pl.String),
        ).select(list(REFERENCES.columns))
    )


def _kind() -> pl.Expr:
    return pl.col("series").cast(pl.String).replace_strict(CONTRACTS, default=None)


def derived(references: pl.DataFrame, markets: pl.DataFrame, places: int = 10) -> pl.DataFrame:
    """Return all that the leaderboard signal reads, as rows to be stored beside the boards.

    Parameters
    ----------
    references : frame of `schema.REFERENCES`
        With the boards ``arena/text`` and ``arena/text-style-control``, or one of them.
    markets : frame of `schema.MARKETS`
    places : int
        See `ranked`.

    Returns
    -------
    frame of `schema.REFERENCES`
    """
    boards = [
        ranked(snapshots(references, source), places, source)
        for source in ("arena/text", "arena/text-style-control")
        if references["source"].eq(source).any()
    ]
    read = next((b for b in boards if b["source"].eq(f"{BOARD}/places").any()), None)
    others = [] if read is None else [named(read, markets)]
    return REFERENCES.filled(pl.concat([*boards, contracts(markets), *others]))
