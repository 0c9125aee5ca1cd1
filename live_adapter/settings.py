"""What a live session is set to, besides what a backtest has: where, how long, and when to stop.

Layers as for a backtest: defaults < ``KALSHI_LIVE_*`` variables < flags < ``--set live.KEY=VALUE``.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from kalshi_bt.errors import UsageError
from kalshi_bt.plan import Plan
from kalshi_bt.settings import amount, read
from kalshi_bt.units import parse_duration
from live_adapter.safety import Limits

ENVIRONMENT: Final = "KALSHI_LIVE_"
SETS: Final = "live."
MODES: Final = ("paper", "dry-run")
_RULES: Final = ("corrected", "reference")
_EXECUTION: Final = "EXECUTION_MODE"
_FOLDER: Final = "PAPER_DATA_DIR"
_OFF: Final = ("none", "off")
_AUTO: Final = "auto"
_RATE: Final = "60"  # orders a minute


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings that no backtest has; each is ``KALSHI_LIVE_`` and its name in capitals.

    Attributes
    ----------
    env : str
        demo or prod: whose quotes are watched. Orders go to neither.
    base_url, ws_url : str
        Another REST root and WebSocket, such as those of a local exchange; empty: those of `env`.
    clock : str
        ``system``, or ``exchange``: the time is what messages say, as of a local exchange that
        plays a dataset.
    history : str
        A dataset: what a signal that learns begins with, and outside series; empty: none.
    kill_switch : str
        A file; while it is there nothing is begun. ``none``: there is none.
    max_silence, max_skew : str
        Durations, see `safety.Limits`.
    daily_loss : str
        Dollars; ``none``: only the limits of the strategy hold.
    max_orders_minute : str
        ``none``: only the limits of the strategy hold. ``auto``: 60 where an exchange is listened
        to, none in a replay, which does what its backtest does.
    depth : str
        Levels of each side of a book that are kept for fills by book.
    """

    env: str = "demo"
    base_url: str = ""
    ws_url: str = ""
    clock: str = "system"
    history: str = ""
    kill_switch: str = "data/paper/STOP"
    max_silence: str = "90s"
    max_skew: str = "5s"
    daily_loss: str = "none"
    max_orders_minute: str = "auto"
    depth: str = "10"

    def levels(self) -> int:
        """Return how many levels of each side of a book are kept.

        Raises
        ------
        UsageError
            If it is no whole number above 0.
        """
        found: int = read("live.depth", self.depth, int)
        if found <= 0:
            raise UsageError(f"live.depth is {self.depth}; expected 1 level or more")
        return found

    def limits(self, *, listens: bool = True) -> Limits:
        """Return when nothing new is begun.

        Parameters
        ----------
        listens : bool
            Whether an exchange is listened to.

        Raises
        ------
        UsageError
            If a value does not fit.
        """
        loss = None if self.daily_loss in _OFF else amount("live.daily_loss", self.daily_loss)
        rate = self.max_orders_minute
        if rate == _AUTO:
            rate = _RATE if listens else _OFF[0]
        most = None if rate in _OFF else read("live.max_orders_minute", rate, int)
        for name, value in (("daily_loss", loss), ("max_orders_minute", most)):
            if value is not None and value <= 0:
                raise UsageError(f"live.{name} is {getattr(self, name)}; expected above 0, or none")
        return Limits(
            kill_switch=None if self.kill_switch in _OFF else Path(self.kill_switch),
            max_silence=_span("max_silence", self.max_silence),
            max_skew=_span("max_skew", self.max_skew),
            daily_loss=loss,
            max_orders_minute=most,
        )


def layered(
    environ: Mapping[str, str], flags: Mapping[str, str | None], sets: Sequence[str]
) -> tuple[Settings, list[str]]:
    """Return the live settings, and the ``--set`` pairs that are not of them.

    Raises
    ------
    UsageError
        If a name is unknown, or a value does not fit.

    Examples
    --------
    >>> found, rest = layered({"KALSHI_LIVE_ENV": "prod"}, {}, ["live.max_skew=2s", "period=20"])
    >>> found.env, found.max_skew, rest
    ('prod', '2s', ['period=20'])
    """
    known = list(Settings.__dataclass_fields__)
    given: dict[str, str] = {}
    for variable in sorted(n for n in environ if n.startswith(ENVIRONMENT)):
        name = variable.removeprefix(ENVIRONMENT).lower()
        if name not in known:
            names = [ENVIRONMENT + n.upper() for n in known]
            raise UsageError.unknown("environment variable", variable, names)
        given[name] = environ[variable].strip()
    given |= {name: value for name, value in flags.items() if value is not None}
    rest = []
    for pair in sets:
        key, equals, value = pair.partition("=")
        if not key.strip().startswith(SETS):
            rest.append(pair)
            continue
        name = key.strip().removeprefix(SETS)
        if name not in known or not equals:
            raise UsageError.unknown("live setting", key.strip(), [SETS + n for n in known])
        given[name] = value.strip()
    made = Settings(**given)
    _check(made)
    return made, rest


def mode(flag: str | None, *, dry_run: bool, environ: Mapping[str, str]) -> tuple[str, str | None]:
    """Return how orders are executed (one of MODES) and the rules of the strategy, if given.

    Raises
    ------
    UsageError
        If real orders are asked for: there are none here.
    """
    rules = flag if flag in _RULES else None
    asked = environ.get(_EXECUTION, "").strip() or "paper"
    asked = asked if flag is None or rules is not None else flag
    if asked in {"live", "real", "production"}:
        raise UsageError(
            f"{asked!r} asks for real orders, and this version sends none: it trades on paper "
            f"(--mode paper) or only decides (--dry-run)"
        )
    if asked not in MODES:
        raise UsageError.unknown("mode", asked, [*MODES, *_RULES])
    return ("dry-run" if dry_run else asked), rules


def name_of(plan: Plan, source: str, mode: str) -> str:
    """Return the name of a session that nobody named: the same for the same settings and source."""
    told = json.dumps([plan.digest(), source, mode])
    return f"{plan.name.lower()}-{hashlib.sha256(told.encode()).hexdigest()[:8]}"


def folder_of(out: Path | None, session: str, environ: Mapping[str, str]) -> Path:
    """Return the folder of a session: `out`, or by ``PAPER_DATA_DIR``, or under ``data/paper``."""
    named = environ.get(_FOLDER, "").strip()
    if out is not None or named:
        return out or Path(named)
    return Path("data", "paper", session)


def span(text: str | None, name: str) -> timedelta | None:
    """Return a duration given by a flag; None where it was not given."""
    return None if text is None else timedelta(microseconds=_micros(name, text))


def _span(name: str, text: str) -> timedelta:
    return timedelta(microseconds=_micros(f"live.{name}", text))


def _micros(name: str, text: str) -> int:
    try:
        found = parse_duration(text)
    except UsageError as error:
        raise UsageError(f"{name}: {error}") from None
    if not found:
        raise UsageError(f"{name} is {text}; expected a duration above 0")
    return found


def _check(settings: Settings) -> None:
    if settings.env not in {"demo", "prod"}:
        raise UsageError.unknown("environment", settings.env, ["demo", "prod"])
    if settings.clock not in {"system", "exchange"}:
        raise UsageError.unknown("clock", settings.clock, ["system", "exchange"])
    for name, schemes in (("base_url", ("http", "https")), ("ws_url", ("ws", "wss"))):
        value: Any = getattr(settings, name)
        if "@" in value:  # not repeated: it may be a password
            raise UsageError(f"{name} holds a user; leave it out, who asks is told by the key")
        if value and not _reachable(value, schemes):
            wanted = " or ".join(f"{scheme}://" for scheme in schemes)
            raise UsageError(f"{name} is {value!r}; expected an address with {wanted}")
    if bool(settings.base_url) != bool(settings.ws_url):
        raise UsageError("--base-url and --ws-url name one exchange together; give both")
    settings.limits()
    settings.levels()


def _reachable(address: str, schemes: Sequence[str]) -> bool:
    """Tell whether an address has a scheme of these, a name of a host, and a port if any."""
    try:
        parts = urlsplit(address)
        host = (parts.hostname or "").encode("idna")  # refuses what no host can be called
        return parts.scheme in schemes and bool(host) and parts.port != 0
    except ValueError:
        return False
