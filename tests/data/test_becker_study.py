"""The tape of the longshot study against sums written out in plain Python."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from importlib import import_module
from types import ModuleType

import polars as pl
import pytest

from kalshi_bt.data.store import Store
from kalshi_bt.schema import MARKETS, SETTLEMENTS, TRADES

START = datetime(2026, 1, 5, tzinfo=UTC)
# ticker, event, payout of one YES in centi-cents; the third is worth neither, the last not known
ENDED = (
    ("A-1-X", "A-1", 10_000),
    ("A-1-Y", "A-1", 0),
    ("B-2-X", "B-2", 3_700),
    ("C-3-X", "C-3", None),
)
# ticker, YES price in centi-cents, centi-contracts, side of the taker
TRADED = (
    ("A-1-X", 500, 1_000, 1),
    ("A-1-X", 500, 2_000, -1),
    ("A-1-Y", 500, 300, 1),
    ("A-1-Y", 9_500, 100, -1),
    ("A-1-Y", 555, 50, 1),
    ("B-2-X", 1_000, 700, 1),
    ("B-2-X", 8_800, 900, -1),
    ("C-3-X", 500, 9_900, 1),
)  # fmt: skip


@pytest.fixture(scope="module")
def study() -> ModuleType:
    return import_module("longshot_trades")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    made = Store.create(tmp_path_factory.mktemp("study") / "set", name="ended")
    time = pl.lit(START).dt.cast_time_unit("us")
    markets = pl.DataFrame(
        {"ticker": [row[0] for row in ENDED], "event": [row[1] for row in ENDED]}
    ).with_columns(series=pl.col("event").str.head(1))
    settled = pl.DataFrame(
        [(ticker, payout) for ticker, _, payout in ENDED if payout is not None],
        schema={"ticker": pl.String, "payout": pl.Int16},
        orient="row",
    ).with_columns(time=time + timedelta(days=2), close_time=time, result=pl.lit("yes"))
    trades = (
        pl.DataFrame(
            TRADED,
            schema=["ticker", "price", "quantity", "taker_side"],
            schema_overrides={"price": pl.Int16, "taker_side": pl.Int8},
            orient="row",
        )
        .with_row_index("trade_id")
        .with_columns(pl.col("trade_id").cast(pl.String), time=time)
    )
    made.commit(
        {
            "markets": MARKETS.filled(markets),
            "settlements": SETTLEMENTS.filled(settled),
            "trades": TRADES.filled(trades),
        }
    )
    return made


def seen(role: str) -> list[tuple[str, float, float, float]]:
    """Return (event, price, payout, contracts) of each settled position, in dollars."""
    ended = {ticker: (event, payout) for ticker, event, payout in ENDED}
    rows = []
    for ticker, price, quantity, side in TRADED:
        event, payout = ended[ticker]
        if payout is None:
            continue
        yes = side == (1 if role == "taker" else -1)
        cost, paid = (price, payout) if yes else (10_000 - price, 10_000 - payout)
        rows.append((event, cost / 10_000, paid / 10_000, quantity / 100))
    return rows


def by_hand(role: str) -> Mapping[int, tuple[float, ...]]:
    cents = defaultdict(list)
    for _, cost, paid, contracts in seen(role):
        cents[int(cost * 100 + 0.5 + 1e-9)].append((cost, paid, contracts))
    found = {}
    for cent, rows in cents.items():
        n = len(rows)
        mean = sum(paid for _, paid, _ in rows) / n
        found[cent] = (
            n,
            sum(size for _, _, size in rows),
            mean,
            mean - sum(cost for cost, _, _ in rows) / n,
            sum((paid - mean) ** 2 for _, paid, _ in rows) / n,
            sum(size * cost for cost, _, size in rows),
            sum(size * (paid - cost) for cost, paid, size in rows),
        )
    return found


@pytest.mark.parametrize("role", ["taker", "maker"])
def test_every_cent_agrees_with_sums_over_single_trades(
    study: ModuleType, store: Store, role: str
) -> None:
    table = study.by_cent(store.sql(study.CELLS)).filter(pl.col("role") == role).drop("role")
    expected = by_hand(role)
    assert table["cents"].to_list() == sorted(expected)
    for cent, *numbers in table.iter_rows():
        assert tuple(numbers) == pytest.approx(expected[cent], abs=1e-12), cent


def test_what_takers_win_makers_lose(study: ModuleType, store: Store) -> None:
    table = study.by_cent(store.sql(study.CELLS))
    gains = dict(table.group_by("role").agg(pl.col("pnl").sum()).rows())
    assert gains["taker"] == pytest.approx(-gains["maker"], abs=1e-9)


def test_trades_repeated_within_an_event_do_not_make_the_result_surer(
    study: ModuleType, store: Store
) -> None:
    cells = store.sql(study.EVENTS)
    once = study.tested(cells, "contract")
    often = study.tested(pl.concat([cells] * 50), "contract")
    assert often["t"].to_list() == pytest.approx(once["t"].to_list(), rel=1e-9, nan_ok=True)
    assert often["events"].to_list() == once["events"].to_list()


def test_the_error_is_clustered_by_event(study: ModuleType, store: Store) -> None:
    found = study.tested(store.sql(study.EVENTS), "contract")
    row = found.filter((pl.col("role") == "taker") & (pl.col("band") == "longshots")).row(
        0, named=True
    )
    # At most 20 cents: event A-1 holds 10 at 5 cents (paid 1), 3 at 5 (0), 1 at 5 (the NO of 95,
    # paid 1), 0.5 at 5.55 (0); event B-2 holds 7 at 10 (0.37) and 9 at 12 (the NO of 88, 0.63).
    gains = {
        "A-1": 10 * 0.95 - 3 * 0.05 + 1 * 0.95 - 0.5 * 0.0555,
        "B-2": 7 * 0.27 + 9 * 0.51,
    }
    sizes = {"A-1": 14.5, "B-2": 16.0}
    mean = sum(gains.values()) / 30.5
    error = (2 * sum((gains[e] - mean * sizes[e]) ** 2 for e in gains)) ** 0.5 / 30.5  # 2/(2 - 1)
    assert row["contracts"] == pytest.approx(30.5)
    assert row["excess"] == pytest.approx(mean)
    assert row["error"] == pytest.approx(error)
    assert row["t"] == pytest.approx(mean / error)


def test_every_weight_counts_what_it_names(study: ModuleType, store: Store) -> None:
    """The same positions as above: four trades in A-1, two in B-2."""
    cells = store.sql(study.EVENTS)
    found = {}
    for weight in study.WEIGHTS:
        row = study.tested(cells, weight).filter(role="taker", band="longshots").row(0, named=True)
        assert row["weight"] == weight
        found[weight] = row["excess"]
    a = [(10, 0.05, 0.95), (3, 0.05, -0.05), (1, 0.05, 0.95), (0.5, 0.0555, -0.0555)]
    b = [(7, 0.10, 0.27), (9, 0.12, 0.51)]
    gained, paid, held = (
        {name: sum(part(*row) for row in rows) for name, rows in (("A", a), ("B", b))}
        for part in (
            lambda size, _, gain: size * gain,
            lambda size, price, _: size * price,
            lambda size, *_: size,
        )
    )
    assert found == pytest.approx(
        {
            "trade": sum(gain for _, _, gain in a + b) / 6,
            "contract": sum(gained.values()) / 30.5,
            "dollar": sum(gained.values()) / sum(paid.values()),
            "event": (gained["A"] / held["A"] + gained["B"] / held["B"]) / 2,
        }
    )


@pytest.mark.parametrize("role", ["taker", "maker"])
def test_rates_by_cent_agree_with_sums_over_single_trades(
    study: ModuleType, store: Store, role: str
) -> None:
    table = study.rates_by_cent(store.sql(study.EVENTS)).filter(role=role)
    expected = by_hand(role)
    assert table["cent"].to_list() == sorted(expected)
    for row in table.iter_rows(named=True):
        count, contracts, won, excess, _, volume, pnl = expected[row["cent"]]
        told = [row[name] for name in ("count", "contracts", "win_rate", "excess", "volume", "pnl")]
        assert told == pytest.approx([count, contracts, won, excess, volume, pnl])
        assert row["price"] == pytest.approx(won - excess)
        assert row["mispricing"] == pytest.approx(excess / (won - excess))


def test_a_cent_of_one_event_has_no_interval(study: ModuleType, store: Store) -> None:
    table = study.rates_by_cent(store.sql(study.EVENTS))
    assert (table["clusters"] == 1).any()
    assert (table["low"].is_nan() == (table["clusters"] == 1)).all()
