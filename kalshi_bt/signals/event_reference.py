"""How markets are sorted and signals scaled in the documented event strategy, and how they are now.

The documented way looks for words anywhere in a ticker and its title, and so finds "eth" in
"method", "sol" in "solar" and "rain" in "train". The series of a market says what it is about.
"""

from collections.abc import Mapping
from typing import Final

import polars as pl

from kalshi_bt.units import over

__all__ = ["SERIES", "WORDS", "enrichment", "reference_vertical", "vertical"]

WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "weather": ("temp", "weather", "rain", "snow"),
    "sports": ("nba", "nfl", "mlb", "nhl", "soccer", "injury"),
    "crypto": ("btc", "bitcoin", "eth", "crypto", "sol"),
}
# Whole names of series, with or without the letters KX that newer ones begin with.
SERIES: Final[Mapping[str, str]] = {
    "weather": "(HIGH|LOW)T?[A-Z]{2,5}|RAIN[A-Z]*|SNOW[A-Z]*|TEMP[A-Z]{2,5}",
    "sports": "(NBA|WNBA|NFL|MLB|NHL|NCAA|EPL|UCL|MLS|ATP|WTA|UFC|PGA)[A-Z0-9]*",
    "crypto": "(BTC|ETH|SOL|XRP|DOGE)(D|E|15M|(MAX|MIN)(Y|MON)?)?",
}


def reference_vertical(text: pl.Expr) -> pl.Expr:
    """Return the documented vertical of a ticker and title: the first with a word in it.

    Examples
    --------
    >>> pl.select(reference_vertical(pl.lit("Which method will the Fed use?"))).item()
    'crypto'
    """
    said = text.str.to_lowercase()
    found = [
        pl.when(said.str.contains_any(list(words))).then(pl.lit(name))
        for name, words in WORDS.items()
    ]
    return pl.coalesce(*found, pl.lit("other"))


def vertical(series: pl.Expr) -> pl.Expr:
    """Return the vertical of a series by its name.

    Examples
    --------
    >>> names = pl.DataFrame({"series": ["KXHIGHNY", "KXBTC15M", "KXMETHOD", "KXSOLAR"]})
    >>> names.select(kind=vertical(pl.col("series")))["kind"].to_list()
    ['weather', 'crypto', 'other', 'other']
    """
    name = series.cast(pl.String)
    found = [
        pl.when(name.str.contains(f"^(?:KX)?(?:{pattern})$")).then(pl.lit(kind))
        for kind, pattern in SERIES.items()
    ]
    return pl.coalesce(*found, pl.lit("other"))


def enrichment(kind: pl.Expr, raw: pl.Expr) -> pl.Expr:
    """Return the documented signal of a vertical from what its feed says, -1 to 1.

    Parameters
    ----------
    kind : expression
        Vertical.
    raw : expression
        Weather: degrees Fahrenheit of the first hour of one fixed place, whatever the market asks.
        Crypto: an index of mood, 0 to 100. Sports: a number. Null, and of other verticals: null.

    Examples
    --------
    >>> pl.select(enrichment(pl.lit("crypto"), pl.lit(25.0))).item()
    -0.5
    """
    return (
        pl.when(kind == "weather")
        .then(over(raw, 100))
        .when(kind == "crypto")
        .then(over(raw, 50) - 1)
        .when(kind == "sports")
        .then(raw)
        .clip(-1.0, 1.0)
    )
