"""How markets of an event are related, what they come to, and what is said of it before."""

from typing import Any

import numpy as np
import polars as pl
from strategies_random_markets import SECOND, Ints, Rng, Scene, odds, pick

from kalshi_bt.schema import DETERMINATIONS, SETTLEMENTS


def draw_strikes(rng: Rng, count: int) -> dict[str, list[Any]]:
    """How the markets of one event are related: one of them pays, each implies the next, or odd."""
    exclusive, ladder, odd = pick(rng, np.eye(3, dtype=bool).tolist(), (4, 4, 2))
    kinds = ["greater", "greater_or_equal"]
    columns: dict[str, list[Any]] = {
        "mutually_exclusive": [exclusive or (None if odds(rng, 0.3) else False)] * count,
        "strike_type": rng.choice(kinds, count).tolist() if ladder or odd else ["between"] * count,
        "floor_strike": (rng.permutation(count) * 2.5).tolist(),
    }
    if odd:  # one market spoils it
        name, value = pick(
            rng,
            (("mutually_exclusive", True), ("floor_strike", None), ("strike_type", "less")),
            (1, 1, 1),
        )
        columns[name][int(rng.integers(count))] = value
        if odds(rng, 0.4):
            columns["floor_strike"] = [1.0] * count
            columns["strike_type"] = ["greater"] * count
    return columns


def draw_structure(
    scene: Scene, listed: pl.DataFrame, settlements: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame, Ints]:
    """Give the markets of an event a relation, outcomes that agree with it, and sides to take."""
    rng = scene.rng
    if odds(rng, 0.7):
        listed = listed.with_columns(event=pl.lit("E0"))
    parts, payouts, leanings = [], {}, {}
    for _, event in listed.group_by("event", maintain_order=True):
        strikes = draw_strikes(rng, event.height)
        parts.append(
            event.with_columns(
                **{k: pl.Series(v, dtype=event.schema[k]) for k, v in strikes.items()}
            )
        )
        value = 2.5 * int(rng.integers(-1, event.height)) + 1.0  # what the event comes to
        lean = pick(rng, (-1, 1), (3, 1))
        winner = int(rng.integers(0, event.height + 1))
        for k, ticker in enumerate(event["ticker"]):
            floor = strikes["floor_strike"][k]
            above = floor is not None and value > floor
            yes = k == winner if all(strikes["mutually_exclusive"]) else above
            payouts[ticker] = 10_000 if yes else 0
            # Mostly against each of several of which one pays; for a low rung, against a high one.
            low = floor is not None and floor < 1.25 * (event.height - 1)
            if floor == 1.0:  # that of all of them: as if there were an order
                low = k % 2 == 0
            leanings[ticker] = lean if any(strikes["mutually_exclusive"]) else 1 if low else -1
    listed = pl.concat(parts).sort("ticker")
    payout = pl.col("ticker").replace_strict(payouts, return_dtype=pl.Int64)
    settlements = settlements.with_columns(
        payout=payout.cast(settlements.schema["payout"]),
        result=pl.when(payout == 0).then(pl.lit("no")).otherwise(pl.lit("yes")),
    )
    if odds(rng, 0.45):  # the whole event at once
        settlements = settlements.with_columns(pl.col("time", "close_time").max())
    elif odds(rng, 0.7):  # one after the other, while the rest goes on
        early = pl.Series(rng.choice(scene.time, settlements.height), dtype=pl.Int64)
        early = early.cast(SETTLEMENTS.columns["time"])
        settlements = settlements.with_columns(time=early, close_time=early)
        if odds(rng, 0.4):  # an outcome that no relation foresees
            odd = pl.when(pl.col("ticker") == f"M{int(rng.integers(listed.height))}")
            settlements = settlements.with_columns(
                payout=odd.then(pick(rng, (2_500, 5_970, 10_000, 0), (1, 1, 1, 1)))
                .otherwise("payout")
                .cast(SETTLEMENTS.columns["payout"])
            )
    return listed, settlements, np.array([leanings[ticker] for ticker in listed["ticker"]])


def draw_determinations(
    scene: Scene, listed: pl.DataFrame, settlements: pl.DataFrame
) -> pl.DataFrame:
    """Say results before they are paid: at once right, disputed, amended, or never paid at all."""
    rng = scene.rng
    paid = {
        ticker: (time, payout)
        for ticker, time, payout in settlements.select(
            "ticker", pl.col("time").to_physical(), "payout"
        ).iter_rows()
    }
    rows: list[dict[str, Any]] = []
    for ticker in listed["ticker"]:
        if odds(rng, 0.2):
            continue
        time, payout = paid.get(ticker, (None, 5_970))
        said = rng.choice([payout, payout, 10_000 - payout, 0, 10_000, 2_500], 8).tolist()
        words = ["disputed"] if odds(rng, 0.1) else ["determined"]
        while odds(rng, 0.5):
            words += ["disputed", pick(rng, ("amended", "determined"), (1, 1))]
        if odds(rng, 0.3):
            words.append("disputed")
        moments = np.unique(rng.choice(scene.time, len(words)) + int(rng.choice([0, 0, -SECOND])))
        known = [t for t in moments.tolist() if time is None or t < time]
        for moment, word, value in zip(known, words, said, strict=False):
            told = None if word == "disputed" else value
            rows.append({"ticker": ticker, "time": moment, "status": word, "payout": told})
        if time is not None and odds(rng, 0.8):
            rows.append({"ticker": ticker, "time": time, "status": "finalized", "payout": payout})
    plain = DETERMINATIONS.columns | {"time": pl.Int64}
    made = pl.DataFrame(rows, schema=plain, orient="row")
    return DETERMINATIONS.check(
        made.with_columns(pl.col("time").cast(DETERMINATIONS.columns["time"])).sort(
            "ticker", "time"
        )
    )
