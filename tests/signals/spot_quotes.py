"""Random quotes of markets on a price, with what each bar knew of it."""

from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl

from tests.quotes_random import quotes

START_SPOT = 100.0


def spot_quotes(
    seed: int, *, move: float = 0.001, dense: bool = False, **shape: Any
) -> pl.DataFrame:
    """Return random quotes with `spot` and `spot_age`, and strikes of all kinds near the spot.

    The price was seen at whole seconds, at the end of a bar, before it, or not at all; some bars
    see what the bar before them saw. `dense` is every second and never late.
    """
    frame = quotes(seed, **shape)
    rng = np.random.Generator(np.random.Philox(key=[seed, 99]))
    parts = [_market(rng, own, move, dense=dense) for own in frame.partition_by("ticker")]
    return pl.concat(parts)


def _market(
    rng: np.random.Generator, own: pl.DataFrame, move: float, *, dense: bool
) -> pl.DataFrame:
    spot: list[float | None] = []
    ages: list[float | None] = []
    level, seen = START_SPOT, None
    for time in own["time"].to_list():
        draw = 1.0 if dense else rng.random()
        if seen is None or draw > 0.2:
            level *= float(np.exp(move * rng.standard_normal()))
            late = 0 if dense or rng.random() < 0.5 else int(rng.integers(0, 9))
            seen = max(time - timedelta(seconds=late), seen or time)
        nothing = not dense and rng.random() < 0.1
        spot.append(None if nothing else level)
        ages.append(None if nothing else (time - seen).total_seconds())
    kind = str(rng.choice(["greater_or_equal", "greater", "less", "between", "structured"]))
    floor = round(START_SPOT * float(np.exp(3 * move * rng.standard_normal())), 2)
    return own.with_columns(
        spot=pl.Series(spot, dtype=pl.Float64),
        spot_age=pl.Series(ages, dtype=pl.Float64),
        strike_type=pl.lit(kind),
        floor_strike=pl.lit(None if kind == "less" else floor, dtype=pl.Float64),
        cap_strike=pl.lit(
            round(floor + 0.3, 2) if kind in {"less", "between"} else None, dtype=pl.Float64
        ),
    )
