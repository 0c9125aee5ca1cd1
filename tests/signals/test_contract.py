"""Every registered signal against the contract, and proof that each check can fail."""

import dataclasses
from typing import Any

import polars as pl
import pytest

from kalshi_bt.errors import UsageError
from kalshi_bt.schema import QUOTES
from kalshi_bt.signals import Signal, contract, reads
from kalshi_bt.signals.bollinger import Bollinger
from kalshi_bt.signals.expr import per_market
from kalshi_bt.signals.random_quotes import sample_quotes
from kalshi_bt.strategies import STRATEGIES

SIGNALS: dict[str, Signal] = {
    **{name: entry.signal for name, entry in STRATEGIES.items()},
    **{f"{name} reference": entry.reference for name, entry in STRATEGIES.items()},
}
TALKATIVE = {"period": 8, "width": 1.0, "reward": 3.0, "fee_aware": False, "min_time_to_close": 60}
confirmed: dict[str, Any]
for shape in ("fade_limit", "reversal_break", "literal"):
    for empty in ("skip", "ffill", "nan"):
        options: dict[str, Any] = TALKATIVE | {"geometry": shape, "empty_bar": empty}
        SIGNALS[f"{shape} {empty}"] = Bollinger(**options)
        SIGNALS[f"{shape} {empty} absent"] = Bollinger(
            **options, bar_seconds=60, reach=1, include_signal_bar=False, min_exit_before_close=30
        )
        SIGNALS[f"{shape} {empty} mid"] = Bollinger(**options, price="mid")
    confirmed = {"rsi": True, "rsi_level": 45.0, "adx": "below", "adx_level": 60.0}
    confirmed |= {"rsi_period": 5, "adx_period": 5, "wilder_bars": 25}
    SIGNALS[f"{shape} confirmed"] = Bollinger(**TALKATIVE, geometry=shape, **confirmed)

# Every registered one, and of the variants one of each shape.
ALWAYS = {name for name in SIGNALS if " " not in name or "reference" in name}
ALWAYS |= {"fade_limit ffill", "reversal_break skip absent", "literal nan mid"}


@pytest.mark.parametrize("check", contract.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n in ALWAYS else pytest.mark.slow) for n in SIGNALS]
)
def test_signal_holds_to_the_contract(name: str, check: contract.Check) -> None:
    check(SIGNALS[name], sample_quotes(SIGNALS[name]))


BANDS = [name for name in SIGNALS if name.split()[0] in ("fade_limit", "reversal_break", "literal")]


@pytest.mark.parametrize("name", BANDS)
def test_the_contract_is_not_checked_on_silence(name: str) -> None:
    said = contract.run(SIGNALS[name], sample_quotes(SIGNALS[name]))
    assert said["side"].drop_nulls().len() > 0


def fair(expr: pl.Expr, lookback: int = 8, **fields: Any) -> Signal:
    """Return a signal that says `expr`, with a class of its own."""

    def call(self: Any, frame: pl.LazyFrame) -> pl.LazyFrame:  # noqa: ARG001
        return frame.with_columns(fair=expr)

    body = {"lookback": property(lambda _: lookback), "__call__": call, **fields}
    made: Any = dataclasses.make_dataclass("Planted", [], frozen=True, namespace=body)
    signal: Signal = made()
    return signal


CLOSE = pl.col("close").fill_null(0.5)
HONEST = fair(per_market(CLOSE.rolling_mean(8)).clip(0, 1))


@pytest.mark.parametrize("check", contract.CHECKS, ids=lambda check: check.__name__)
def test_an_honest_signal_passes(check: contract.Check) -> None:
    check(HONEST, sample_quotes(HONEST))


@dataclasses.dataclass
class Thawed:
    window: int = 8

    @property
    def lookback(self) -> int:
        return self.window

    def __call__(self, quotes: pl.LazyFrame) -> pl.LazyFrame:
        return HONEST(quotes)


PLANTED: dict[str, tuple[Signal, contract.Check]] = {
    "next close": (fair(per_market(CLOSE.shift(-1))), contract.check_causal),
    "forgotten over": (fair(CLOSE.rolling_mean(8).clip(0, 1)), contract.check_isolated),
    "forgotten over, shuffled": (fair(CLOSE.shift(1)), contract.check_order_free),
    "over without time": (fair(CLOSE.shift(1).over("ticker")), contract.check_order_free),
    "mean of the whole sample": (fair(per_market(CLOSE.mean())), contract.check_causal),
    "mean of all markets": (fair(CLOSE.mean()), contract.check_isolated),
    "centred window": (
        fair(per_market(CLOSE.rolling_mean(8, center=True)).clip(0, 1)),
        contract.check_causal,
    ),
    "backward fill": (
        fair(per_market(pl.col("close").fill_null(strategy="backward"))),
        contract.check_causal,
    ),
    "endless memory": (
        fair(per_market(pl.col("close").fill_null(strategy="forward")), lookback=2),
        contract.check_tail,
    ),
    "lookback too short": (
        fair(per_market(CLOSE.rolling_mean(8)).clip(0, 1), lookback=7),
        contract.check_tail,
    ),
    "rank in the sample": (
        fair(per_market(CLOSE.rank() / pl.len())),
        contract.check_tail,
    ),
    "not a probability": (fair(CLOSE + 1), contract.check_adds_declared_columns),
    "NaN": (fair(CLOSE * float("nan")), contract.check_adds_declared_columns),
    "wrong type": (fair(CLOSE.cast(pl.Float32)), contract.check_adds_declared_columns),
    "nothing said": (
        fair(CLOSE, __call__=lambda _, frame: frame),
        contract.check_adds_declared_columns,
    ),
    "undeclared column": (
        fair(CLOSE, __call__=lambda _, frame: frame.with_columns(fair=CLOSE, extra=1)),
        contract.check_adds_declared_columns,
    ),
    "rows dropped": (
        fair(CLOSE, __call__=lambda _, frame: frame.with_columns(fair=CLOSE).drop_nulls("close")),
        contract.check_adds_declared_columns,
    ),
    "rows sorted": (
        fair(CLOSE, __call__=lambda _, frame: frame.with_columns(fair=CLOSE).sort("time")),
        contract.check_order_free,
    ),
    "empty frames refused": (
        fair(CLOSE, __call__=lambda _, f: f.with_columns(fair=f.collect()["close"][0] * CLOSE)),
        contract.check_small_frames,
    ),
    "column read and not declared": (
        fair(CLOSE, reads=("mid",)),
        contract.check_reads,
    ),
    "column used where it is there": (
        fair(
            CLOSE,
            reads=("close",),
            __call__=lambda _, frame: frame.with_columns(
                fair=CLOSE if "volume" in frame.collect_schema() else pl.lit(0.5)
            ),
        ),
        contract.check_reads,
    ),
    "column that only samples read": (
        fair(CLOSE, reads=("close",), samples=lambda _, frame: frame.select("ticker", "volume")),
        contract.check_reads,
    ),
    "not frozen": (Thawed(), contract.check_is_a_value),
    "newest bars by another road": (
        fair(
            per_market(CLOSE.rolling_mean(8)).clip(0, 1),
            newest=lambda _, frame: (
                frame.filter(pl.col("time") == pl.col("time").max().over("ticker"))
            ).with_columns(fair=CLOSE.clip(0, 1)),
        ),
        contract.check_newest,
    ),
}


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_registered_signal_declares_what_it_reads(name: str) -> None:
    for signal in (STRATEGIES[name].signal, STRATEGIES[name].reference):
        assert {"ticker", "time"} < set(reads(signal) or ()) < set(QUOTES)


def test_what_is_declared_is_a_column_of_quotes_and_ticker_and_time_are_handed_anyway() -> None:
    assert reads(HONEST) is None
    assert reads(fair(CLOSE, reads=("close", "time"))) == ("ticker", "time", "close")
    with pytest.raises(UsageError, match=r"Planted.reads 'volum'; did you mean 'volume'\?"):
        reads(fair(CLOSE, reads=("close", "volum")))


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_caught(name: str) -> None:
    signal, check = PLANTED[name]
    with pytest.raises((AssertionError, IndexError)):
        check(signal, sample_quotes(signal))
