"""Probabilities that a model, or an organisation, is on top of a leaderboard when it is checked."""

from dataclasses import dataclass
from typing import ClassVar, Literal, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kalshi_bt.schema import SIGNALS
from kalshi_bt.signals import check_parameters, parameter
from kalshi_bt.signals.expr import require
from kalshi_bt.signals.leaderboard_board import CONTRACTS
from kalshi_bt.signals.leaderboard_odds import rank_upper_bounds, score_sd, with_entrant
from kalshi_bt.signals.leaderboard_reference import fair_cents, model_fair
from kalshi_bt.signals.leaderboard_rules import (
    RULES,
    ResolutionRule,
    resolve_top_model,
    resolve_top_organization,
)
from kalshi_bt.signals.needs import Need
from kalshi_bt.units import DAY, SECOND, over

__all__ = [
    "RULES",
    "Leaderboard",
    "ResolutionRule",
    "resolve_top_model",
    "resolve_top_organization",
]

_FIELDS = ("score", "low", "high", "model", "organization")

Floats = NDArray[np.float64]
_CHOSEN_ON = (2023, 2025)  # years of the boards that the defaults foretell best


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaderboard:
    """The chance of each outcome of a leaderboard event, from the newest snapshot and the time.

    Scores move until the check like independent normal variables, whose variance is that of the
    published estimate and `volatility` squared a day; with a constant hazard a new model enters
    near the top. An organisation has the chance of its models. Nothing is said where the snapshot
    is too old or the close not known, nor of a contract whose name the board does not list, since
    nothing is known of it. "Other" has what the contracts of its event that the board lists leave.

    Parameters
    ----------
    odds
        How probabilities come about; ``table`` is the documented one.
    ties
        What the rule of the event makes of intervals that overlap.
    places
        Highest scores of the board that are read; models below are taken to have no chance.
    volatility, error_days
        How scores move, see `leaderboard_odds.score_sd`.
    hazard, entrant_gap, entrant_sd, outsiders
        New models, see `leaderboard_odds.with_entrant`.
    board_age
        How long a snapshot holds.
    step
        The time left is taken in whole steps, so that a board is not asked again every bar.

    Raises
    ------
    UsageError
        If a parameter is out of range.

    Notes
    -----
    Probabilities of the outcomes of an event sum to 1, less what belongs to entrants and to nobody.
    The volatility and the hazard are about those that foretell the boards of 2023 to 2025 best, a
    week to a month ahead: a run on those years says so. Most days leading scores move far less than
    that; then a board is recomputed and all of them move.

    Examples
    --------
    >>> Leaderboard(places=3).references[1].column
    'board_1_score'
    >>> Leaderboard.reference().odds
    'table'
    """

    reads: ClassVar[tuple[str, ...]] = ("ticker", "time", "series", "close_time")  # of quotes

    odds: Literal["normal", "table"] = parameter("normal", "how probabilities come about")
    ties: Literal["cascade", "alone", "ties_win"] = parameter(
        "cascade", "what becomes of overlapping intervals: the score decides, nobody wins, all win"
    )
    places: int = parameter(10, "highest scores of the board that are read", 2, 50)
    volatility: float = parameter(2.0, "points a score moves in a day", 0, 50)
    error_days: float = parameter(
        0.0, "days in which the error of an estimate shows; 0: at once and in full", 0, 1_000
    )
    hazard: float = parameter(0.08, "models entering near the top in a day", 0, 10)
    entrant_gap: float = parameter(0.0, "points of an entrant above the highest score", -200, 200)
    entrant_sd: float = parameter(15.0, "spread of an entrant's score, points", 0.25, 200)
    outsiders: float = parameter(0.2, "share of entrants from organisations not listed", 0, 1)
    board_age: int = parameter(172_800, "seconds for which a snapshot holds", 0)
    step: int = parameter(3_600, "steps in which the time left is taken, seconds", 1, 86_400)

    def __post_init__(self) -> None:
        check_parameters(self)

    @classmethod
    def reference(cls) -> Self:
        """Return the strategy as it is documented, whose probabilities know no time and no sum."""
        return cls(odds="table")

    @property
    def lookback(self) -> int:
        """Bars per market that suffice for the newest value."""
        return 1

    @property
    def fields(self) -> tuple[str, ...]:
        """What is read of each place of the board."""
        return (*_FIELDS, "preliminary") if self.odds == "table" else _FIELDS

    @property
    def references(self) -> tuple[Need, ...]:
        """The name a contract is about, and the places of the board."""
        return (
            Need("contract_name", "contract", "{ticker}", "name"),
            *(
                Need(
                    f"board_{place}_{name}",
                    "arena/text/places",
                    str(place),
                    name,
                    max_age_seconds=self.board_age,
                )
                for name in self.fields
                for place in range(1, self.places + 1)
            ),
            *self._rest,
        )

    @property
    def _rest(self) -> tuple[Need, ...]:
        """Which places of the board are not "Other"; the documented odds say nothing of that."""
        if self.odds == "table":
            return ()
        return (Need("contract_named", "contract", "{ticker}", "named"),)

    def __call__(self, quotes: pl.LazyFrame) -> pl.LazyFrame:
        """Return `quotes` with fair added, null where nothing is known.

        Parameters
        ----------
        quotes : polars.LazyFrame
            Rows of `schema.QUOTES` with the columns of `references`, in any order.

        Raises
        ------
        DataError
            If a column is missing.
        """
        columns = (*self.reads, *(need.column for need in self.references))
        schema = {**require(quotes, columns, "leaderboard"), "fair": SIGNALS["fair"]}
        return quotes.map_batches(lambda frame: _with_fair(frame, self), schema=schema)

    def remarks(self, quotes: pl.LazyFrame) -> tuple[str, ...]:
        """Return that these quotes are of the years the signal was made for, if some are.

        Parameters
        ----------
        quotes : polars.LazyFrame
            As for a call.
        """
        first = quotes.select(pl.col("time").min().dt.year()).collect().item()
        if self.odds == "table" or first is None or first > _CHOSEN_ON[1]:
            return ()
        years = " to ".join(map(str, _CHOSEN_ON))
        told = f"in-sample: volatility and hazard were chosen on boards of {years}"
        return (f"{told}, so a gain there proves nothing",)


def _with_fair(frame: pl.DataFrame, signal: Leaderboard) -> pl.DataFrame:
    """Return `frame` with the probability of each row's outcome, each board computed once."""
    board = [need.column for need in signal.references if need.column.startswith("board_")]
    left = (pl.col("close_time") - pl.col("time")).dt.total_microseconds()
    steps = over(left, signal.step * SECOND).ceil().clip(0)
    kind = pl.col("series").cast(pl.String).replace_strict(CONTRACTS, default=None)
    named = pl.col("contract_named") if signal.odds != "table" else pl.lit(None, pl.Float64)
    asked = frame.select("contract_name", *board, contract_named=named, kind=kind, steps=steps)
    # Rows that follow each other mostly ask the same of the same board.
    run = asked.select(pl.struct(pl.all()).rle_id()).to_series().to_numpy().astype(np.int64)
    found = _fair_of(asked.filter(np.diff(run, prepend=-1) > 0), board, signal)[run]
    return frame.with_columns(pl.Series("fair", found, pl.Float64).fill_nan(None))


def _fair_of(asked: pl.DataFrame, board: list[str], signal: Leaderboard) -> Floats:
    """Return the probability of the outcome of each row, NaN for none, each board computed once."""
    known = (pl.col("contract_name") > 0) | pl.col("contract_named").is_not_null()
    spoken = (
        asked.with_row_index("row")
        .filter(known, pl.col("board_1_score").is_not_null())
        .drop_nulls(["kind", "steps"])
    )
    found = np.full(asked.height, np.nan)
    states = spoken.group_by(["kind", "steps", *board], maintain_order=True).agg(
        "row", "contract_name", "contract_named"
    )
    if states.height:
        odds = _chances(states, signal)
        state = np.repeat(np.arange(states.height), states["row"].list.len().to_numpy())
        row, contract, named = (
            states[n].explode().to_numpy() for n in ("row", "contract_name", "contract_named")
        )
        meant = odds.name[state] == contract[:, None]
        best = np.where(meant, odds.p[state], -1.0).max(1)
        other = contract == 0.0
        if other.any():
            best[other] = _rest(odds, state[other], named[other])
        found[row] = np.where(best >= 0, np.clip(best, 0.0, 1.0), np.nan)
    return found


@dataclass(frozen=True)
class _Odds:
    """Chance and code of what is in each place of each board, (boards, places).

    `p` is -1 where nothing is; `first` where a group has its first place; `unlisted` (boards,) is
    the chance of an entrant of none of them.
    """

    p: Floats
    name: Floats
    first: NDArray[np.bool_]
    unlisted: Floats


def _rest(odds: _Odds, state: NDArray[np.int64], named: Floats) -> Floats:
    """Return the chance of what is in no named place, each group once, and of who is not listed."""
    bits = np.arange(odds.p.shape[1])
    taken = (named.astype(np.int64)[:, None] >> bits) & 1 > 0
    own = np.where(odds.first & (odds.p > 0), odds.p, 0.0)[state]
    return np.asarray((own * ~taken).sum(1) + odds.unlisted[state])


def _chances(states: pl.DataFrame, signal: Leaderboard) -> _Odds:
    """Return what is in each place of each board, and how likely it is on top."""
    at = {
        field: states.select(
            pl.col(f"board_{place}_{field}").cast(pl.Float64).fill_null(np.nan)
            for place in range(1, signal.places + 1)
        ).to_numpy()
        for field in signal.fields
    }
    model = (states["kind"] == "model").to_numpy()[:, None]
    name = np.where(model, at["model"], at["organization"])
    # What has no name is on its own.
    nobody = -1.0 - np.arange(signal.places)
    group = np.where(np.isnan(name), 0.0, name)
    order = np.where(np.isnan(name), nobody, group)
    listed = ~np.isnan(at["score"])
    low, high = (np.where(np.isnan(at[n]), at["score"], at[n]) for n in ("low", "high"))
    first = listed & (_dense(order) == np.arange(signal.places))
    unlisted = np.zeros(len(order))
    if signal.odds == "table":
        p = _table(order, low, high, at["preliminary"], model, listed)
        return _Odds(p, name, first, unlisted)
    days = states["steps"].to_numpy()[:, None] * (signal.step * SECOND / DAY)
    sd = score_sd(low, high, days, signal.volatility, signal.error_days)
    chance = -np.expm1(-signal.hazard * days[:, 0])
    groups = np.where(order < 0, signal.places - order, _dense(order))
    p = np.empty_like(sd)
    for own, outsiders in ((model[:, 0], 1.0), (~model[:, 0], signal.outsiders)):
        if own.any():
            p[own], unlisted[own] = with_entrant(
                at["score"][own],
                sd[own],
                groups[own],
                ((high - low) / 2)[own],
                chance[own],
                signal.entrant_gap,
                signal.entrant_sd,
                outsiders,
                signal.ties,
            )
    return _Odds(np.where(listed, p, -1.0), name, first, unlisted)


def _dense(codes: Floats) -> Floats:
    """Return within each board the first place that has the same code."""
    same = codes[:, :, None] == codes[:, None, :]
    return np.asarray(same.argmax(2), np.float64)


def _table(
    name: Floats,
    low: Floats,
    high: Floats,
    preliminary: Floats,
    model: NDArray[np.bool_],
    listed: NDArray[np.bool_],
) -> Floats:
    """Return the documented values; without release dates no model has the winner's bonus."""
    rank = rank_upper_bounds(np.where(listed, low, np.nan), np.where(listed, high, np.nan))
    # The best row of an organisation is the first in the cascade, hence by rank, then by place.
    first = np.asarray(rank * 1_000 + np.arange(name.shape[1]), np.float64)
    same = name[:, :, None] == name[:, None, :]
    best = np.where(same & listed[:, None, :], first[:, None, :], np.inf).argmin(2)
    own = np.where(model, np.arange(name.shape[1]), best)
    wins = ~model & (own == 0)
    p = model_fair(
        np.take_along_axis(rank, own, 1),
        wins,
        np.take_along_axis(np.nan_to_num(preliminary), own, 1) > 0,
    )
    return np.where(listed, fair_cents(p) / 100, -1.0)
