"""Runs that tests look at when they are done."""

SIGNAL = '''
from dataclasses import dataclass
import polars as pl

@dataclass(frozen=True, kw_only=True)
class Dear:
    """Buys what is dear <b>today</b>."""

    above: float = 0.7

    @property
    def lookback(self) -> int:
        return 1

    def __call__(self, quotes: pl.LazyFrame) -> pl.LazyFrame:
        side = pl.when(pl.col("close") > self.above).then(1)
        return quotes.with_columns(side=side.cast(pl.Int8))
'''

RUNS = ("usual", "wide", "idle", "passive", "own", "files")  # and "agents", without a report


def lines(home: str) -> dict[str, list[str]]:
    """The options of each run; its signal file lies in `home`."""
    csv = ["--strategy", "longshot", "--format", "longshot-csv"]
    return {
        "usual": ["--strategy", "bollinger"],
        "wide": ["--strategy", "bollinger", "--set", "width=1.5"],
        "idle": ["--strategy", "bollinger", "--set", "width=4.5"],
        "passive": ["--strategy", "bollinger", "--fills", "passive", "--cash", "500"],
        "own": ["--strategy", f"{home}/dear.py:Dear"],
        "files": [*csv, "--n", "40"],
        "agents": [*csv, "--mode", "reference"],
    }
