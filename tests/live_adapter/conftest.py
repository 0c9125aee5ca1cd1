"""A dataset with all that the exchange can show, and the exchange's own OpenAPI file."""

import os
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import polars as pl
import pytest
import yaml

from kalshi_bt import schema
from kalshi_bt.data.store import Store
from live_adapter.sandbox import Exchange

Json = dict[str, Any]
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # a tenth of the time
OPENED = datetime(2026, 5, 4, 4, tzinfo=UTC)  # when the sample begins
NOON = OPENED + timedelta(hours=12)
SCALED = ("dollars", re.compile(r"\d+\.\d{4}")), ("fp", re.compile(r"-?\d+\.\d{2}"))


def table(name: str, rows: list[Json]) -> pl.DataFrame:
    """Return rows as a stored table, absent columns as nulls."""
    declared = schema.STORED[name]
    types = {column: declared.columns[column] for column in rows[0]}
    return declared.filled(pl.DataFrame(rows, schema=types))


def extra() -> dict[str, pl.DataFrame]:
    """Return rows of all that the sample lacks."""
    game = "SYNGAME-26MAY04"
    hour = timedelta(hours=1)
    later = {"series": "SYNHIGH", "effective_from": OPENED + 3 * hour, "fee_multiplier": 500_000}
    named = {"category": "Climate and Weather", "fee_type": "quadratic", "title": "Highest (SYN)"}
    combo = {"ticker": "KXMVESYN-1-A", "event": "KXMVESYN-1", "series": "KXMVESYN"}
    early = {"ticker": f"{game}1900AAABBB-AAA", "event": f"{game}1900AAABBB", "series": "SYNGAME"}
    times = {"open_time": OPENED, "close_time": OPENED + 30 * hour}
    strike = {"strike_type": "greater", "floor_strike": 4_128.56, "cap_strike": None}
    words = {"subtitle": "Target: 4128.56", "rules": "If so, YES.", "can_close_early": True}
    words["title"] = "Above the target? (synthetic)"
    ended = {"ticker": early["ticker"], "close_time": OPENED + 9 * hour, "value": 4_128.4}
    level = {"price": 4_100, "size": 1_300}
    return {
        "series": table(
            "series", [{**later, **named, "settlement_sources": "Synthetic Weather; A second one"}]
        ),
        "event_fees": table(
            "event_fees",
            [
                {"event": "SYNHIGH-26MAY04", "effective_from": OPENED + n * hour, **fee}
                for n, fee in (
                    (1, {"fee_type": "flat", "fee_multiplier": 250_000}),
                    (2, {"fee_type": None, "fee_multiplier": None}),
                )
            ],
        ),
        "markets": table(
            "markets",
            [{**combo, **times, **strike, **words}, {**early, **times, **strike, **words}],
        ),
        "settlements": table(
            "settlements",
            [{**ended, "time": OPENED + 11 * hour, "payout": 10_000, "result": "yes"}],
        ),
        "revisions": table(
            "revisions",
            [{**ended, "time": OPENED + 10 * hour, "payout": 3_700, "result": "scalar"}],
        ),
        "determinations": table(
            "determinations",
            [
                {"ticker": early["ticker"], "time": OPENED + n * hour, "status": s, "payout": p}
                for n, s, p in (
                    (9.2, "determined", 0),
                    (9.4, "disputed", None),
                    (9.6, "amended", 3_700),
                    (10, "finalized", 3_700),
                    (11, "finalized", 10_000),
                )
            ],
        ),
        "books": table(
            "books",
            [
                {
                    "ticker": early["ticker"],
                    "time": OPENED + hour,
                    "bids": [level, {"price": 100, "size": 20_000}],
                    "asks": [{"price": 4_400, "size": 1_725}, {"price": 9_900, "size": 10_000}],
                }
            ],
        ),
    }


@pytest.fixture(scope="session")
def dataset(one_day: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The first day of the sample and what it lacks. Tests do not change it."""
    folder = tmp_path_factory.mktemp("served") / "dataset"
    shutil.copytree(one_day, folder)
    store = Store.open(folder)
    store.commit(extra())
    return store


@pytest.fixture(scope="module")
def exchange(dataset: Store) -> Iterator[Exchange]:
    """An exchange after all has settled; the morning is in the historical tier."""
    with Exchange(dataset, cutoff=NOON) as running:
        yield running


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    """A client that keeps its connections."""
    with httpx.Client(timeout=10) as running:
        yield running


class Spec:
    """The OpenAPI file of the exchange."""

    def __init__(self, path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        self.content: Json = yaml.load(text, LOADER)  # noqa: S506 - it is a safe one
        self.schemas = {
            name: closed(found) for name, found in self.content["components"]["schemas"].items()
        }

    def parameters(self, path: str) -> dict[str, Json]:
        """Return the query parameters of a path."""
        shared = self.content["components"]["parameters"]
        given = self.content["paths"][path]["get"].get("parameters", [])
        resolved = [shared[p["$ref"].rpartition("/")[2]] if "$ref" in p else p for p in given]
        return {p["name"]: p for p in resolved if p["in"] == "query"}

    def complaints(self, path: str, body: Any, status: int = 200) -> list[str]:
        """Return what the file has against an answer, fields it does not know included."""
        if status == 200:
            answers = self.content["paths"][path]["get"]["responses"]
            found = closed(answers["200"]["content"]["application/json"]["schema"])
        else:
            found = {"$ref": "#/components/schemas/ErrorResponse"}
        whole = {**found, "components": {"schemas": self.schemas}}
        checker = jsonschema.Draft202012Validator(whole, format_checker=FORMATS)
        found_errors = [f"{e.json_path}: {e.message[:300]}" for e in checker.iter_errors(body)]
        return found_errors + list(badly_scaled(body, "$"))


FORMATS = jsonschema.FormatChecker(formats=())


@FORMATS.checks("date-time")
def _is_time(value: Any) -> bool:
    pattern = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z"
    return not isinstance(value, str) or re.fullmatch(pattern, value) is not None


def closed(found: Any) -> Any:
    """Return an OpenAPI 3.0 schema as JSON schema, objects closed to fields it does not name."""
    if isinstance(found, list):
        return [closed(part) for part in found]
    if not isinstance(found, dict):
        return found
    made = {name: closed(part) for name, part in found.items() if name != "nullable"}
    made.pop("example", None)
    if "properties" in found and "additionalProperties" not in found:
        made["additionalProperties"] = False
    return {"anyOf": [made, {"type": "null"}]} if found.get("nullable") is True else made


def badly_scaled(value: Any, at: str) -> Iterator[str]:
    """Yield where a decimal string has another number of decimals than its name promises."""
    if isinstance(value, list):
        for place, part in enumerate(value):
            yield from badly_scaled(part, f"{at}[{place}]")
    elif isinstance(value, dict):
        for name, part in value.items():
            yield from badly_scaled(part, f"{at}.{name}")
            for unit, pattern in SCALED:
                scaled = name.endswith(f"_{unit}") and isinstance(part, str)
                if scaled and pattern.fullmatch(part) is None:
                    yield f"{at}.{name}: {part!r}"


@pytest.fixture(scope="session")
def spec() -> Spec:
    """The exchange's OpenAPI file, which is not part of the repository."""
    default = Path(__file__).parents[3] / "shared" / "kalshi" / "spec"
    folder = Path(os.environ.get("KALSHI_BT_SPECS", default))
    found = sorted(folder.glob("openapi-*.yaml"))
    if not found:
        pytest.skip(f"no OpenAPI file in {folder}; set KALSHI_BT_SPECS to its folder")
    return Spec(found[-1])


# Type of a message to its payload in the file.
PAYLOADS = {
    "subscribed": "subscribedResponsePayload",
    "unsubscribed": "unsubscribedResponsePayload",
    "error": "errorResponsePayload",
    "orderbook_snapshot": "orderbookSnapshotPayload",
    "orderbook_delta": "orderbookDeltaPayload",
    "ticker": "tickerPayload",
    "trade": "tradePayload",
    "market_lifecycle_v2": "marketLifecycleV2Payload",
    "event_lifecycle": "eventLifecyclePayload",
    "event_fee_update": "eventFeeUpdatePayload",
}
# Of September and October 2026, after the file: numbers on messages of more channels and on errors
# of a subscription, and the time of sending.
LATER = ("seq", "sending_ts_ms", "sid")


class StreamSpec:
    """The AsyncAPI file of the exchange."""

    payloads = PAYLOADS

    def __init__(self, path: Path) -> None:
        content: Json = yaml.load(path.read_text(encoding="utf-8"), LOADER)  # noqa: S506 - a safe one
        self.schemas = content["components"]["schemas"]
        # The file forbids the dots that tickers of its own examples have.
        self.schemas["marketTicker"]["pattern"] = "^[A-Z0-9.-]+$"
        self.closed = {name: closed(found) for name, found in self.schemas.items()}

    def complaints(self, frame: Json) -> list[str]:
        """Return what the file has against a message, fields it does not know included."""
        kind = frame["type"]
        listed = "listSubscriptionsResponsePayload" if isinstance(frame.get("msg"), list) else None
        name = listed or ("okResponsePayload" if kind == "ok" else PAYLOADS[kind])
        known = self.schemas[name]["properties"]
        body = {n: v for n, v in frame.items() if n in known or n not in LATER}
        found = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": self.closed}}
        checker = jsonschema.Draft202012Validator(found, format_checker=FORMATS)
        wrong = [f"{e.json_path}: {e.message[:300]}" for e in checker.iter_errors(body)]
        return wrong + list(badly_scaled(frame, "$"))


@pytest.fixture(scope="session")
def asyncapi() -> StreamSpec:
    """The exchange's AsyncAPI file, which is not part of the repository."""
    default = Path(__file__).parents[3] / "shared" / "kalshi" / "spec"
    folder = Path(os.environ.get("KALSHI_BT_SPECS", default))
    found = sorted(folder.glob("asyncapi-*.yaml"))
    if not found:
        pytest.skip(f"no AsyncAPI file in {folder}; set KALSHI_BT_SPECS to its folder")
    return StreamSpec(found[-1])
