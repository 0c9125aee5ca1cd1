"""Live settings come in layers, and whatever asks for real orders is refused."""

from pathlib import Path

import pytest

from kalshi_bt.errors import UsageError
from live_adapter.settings import Settings, folder_of, layered, mode

ROOT = Path(__file__).parents[2]


def test_later_layers_win_and_other_pairs_are_passed_on() -> None:
    environ = {"KALSHI_LIVE_ENV": "prod", "KALSHI_LIVE_MAX_SKEW": "9s", "HOME": "x"}
    flags = {"env": "demo", "base_url": None}
    found, rest = layered(environ, flags, ["period=3", "live.max_skew=2s", "risk.max_losses=none"])
    assert (found.env, found.max_skew, found.daily_loss) == ("demo", "2s", "none")
    assert rest == ["period=3", "risk.max_losses=none"]


@pytest.mark.parametrize(
    ("environ", "sets", "message"),
    [
        ({"KALSHI_LIVE_EVN": "demo"}, [], "did you mean 'KALSHI_LIVE_ENV'"),
        ({}, ["live.max_skw=1s"], "did you mean 'live.max_skew'"),
        ({}, ["live.max_skew"], "live.max_skew"),
        ({}, ["live.max_skew=1"], "live.max_skew: '1' is not a duration"),
        ({}, ["live.max_silence=0s"], "expected a duration above 0"),
        ({}, ["live.daily_loss=-5"], "live.daily_loss is -5; expected above 0"),
        ({}, ["live.daily_loss=much"], "live.daily_loss"),
        ({}, ["live.max_orders_minute=1.5"], "expected a whole number"),
        ({}, ["live.env=test"], "known: demo, prod"),
        ({}, ["live.clock=sun"], "known: exchange, system"),
        ({}, ["live.base_url=http://here", "live.ws_url=http://here"], "expected an address"),
        (
            {},
            ["live.base_url=http://[::1", "live.ws_url=ws://here"],
            "base_url is .* expected an a",
        ),
        ({}, ["live.base_url=http://here", "live.ws_url=ws://[::1"], "ws_url is .* expected an a"),
        ({}, ["live.base_url=http://here:99999", "live.ws_url=ws://here"], "expected an address"),
        (
            {},
            ["live.base_url=http://here", f"live.ws_url=ws://{'a' * 64}/x"],
            "expected an address",
        ),
        ({}, ["live.base_url=http://:80", "live.ws_url=ws://here"], "expected an address"),
        ({}, ["live.base_url=http://here"], "give both"),
        (
            {},
            ["live.max_silence=99999999999999d"],
            "max_silence: .* is longer than a hundred years",
        ),
    ],
)
def test_what_does_not_fit_is_refused(
    environ: dict[str, str], sets: list[str], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        layered(environ, {}, sets)


@pytest.mark.parametrize("name", ["base_url", "ws_url"])
def test_a_password_in_an_address_is_refused_and_not_repeated(name: str) -> None:
    scheme = "ws" if name == "ws_url" else "http"
    with pytest.raises(UsageError, match=f"{name} holds a user") as caught:
        layered({}, {name: f"{scheme}://me:planted@here/x"}, [])
    assert "planted" not in str(caught.value)


def test_limits_have_units() -> None:
    found, _ = layered({}, {}, ["live.daily_loss=25.50", "live.kill_switch=none"])
    limits = found.limits()
    assert (limits.daily_loss, limits.kill_switch) == (25_500_000, None)
    assert limits.max_silence.total_seconds() == 90


def test_a_replay_is_as_free_to_order_as_its_backtest_unless_told_otherwise() -> None:
    usual, _ = layered({}, {}, [])
    assert usual.limits().max_orders_minute == 60
    assert usual.limits(listens=False).max_orders_minute is None
    told, _ = layered({}, {}, ["live.max_orders_minute=7"])
    assert told.limits(listens=False).max_orders_minute == 7


@pytest.mark.parametrize(
    ("flag", "environ"),
    [
        ("live", {}),
        ("real", {}),
        (None, {"EXECUTION_MODE": "live"}),
        (None, {"EXECUTION_MODE": "real"}),
    ],
)
def test_real_orders_are_refused(flag: str | None, environ: dict[str, str]) -> None:
    for dry_run in (False, True):
        with pytest.raises(UsageError, match="this version sends none"):
            mode(flag, dry_run=dry_run, environ=environ)


def test_modes() -> None:
    paper: dict[str, str] = {}
    assert mode(None, dry_run=False, environ=paper) == ("paper", None)
    assert mode(None, dry_run=True, environ=paper) == ("dry-run", None)
    assert mode("reference", dry_run=False, environ=paper) == ("paper", "reference")
    assert mode("paper", dry_run=False, environ={"EXECUTION_MODE": "dry-run"}) == ("paper", None)
    with pytest.raises(UsageError, match="asks for real orders"):
        mode("reference", dry_run=False, environ={"EXECUTION_MODE": "live"})
    with pytest.raises(UsageError, match="did you mean 'paper'"):
        mode("papr", dry_run=False, environ=paper)


def test_the_folder_of_a_session() -> None:
    named = {"PAPER_DATA_DIR": "elsewhere"}
    assert folder_of(None, "a", {}) == Path("data/paper/a")
    assert folder_of(None, "a", named) == Path("elsewhere")
    assert folder_of(Path("out"), "a", named) == Path("out")


def test_every_setting_is_in_the_example_of_an_environment() -> None:
    text = (ROOT / ".env.example").read_text("utf-8")
    names = {f"KALSHI_LIVE_{name.upper()}" for name in Settings.__dataclass_fields__}
    others = {"KALSHI_API_KEY_ID", "KALSHI_PRIVATE_KEY_FILE", "KALSHI_PRIVATE_KEY_PASSWORD"}
    others |= {"KALSHI_PRIVATE_KEY", "PAPER_DATA_DIR", "EXECUTION_MODE"}
    written = {line.lstrip("# ").partition("=")[0] for line in text.splitlines() if "=" in line}
    assert names | others <= written
    usual = Settings()
    for line in text.splitlines():
        name, _, value = line.lstrip("# ").partition("=")
        if name in names:
            assert value == getattr(usual, name.removeprefix("KALSHI_LIVE_").lower()), name
