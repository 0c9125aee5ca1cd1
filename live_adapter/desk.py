"""A session in its folder: it is fed moments, and all that follows is on disk after each.

A session that was stopped anywhere goes on from its folder with the same orders, files and stops.
"""

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import polars as pl
import tomli_w

from kalshi_bt.data.roots import holder, lock
from kalshi_bt.errors import DataError, UsageError
from kalshi_bt.plan import Plan
from live_adapter import checkpoint, files, journal, ledger, state
from live_adapter.account import Names, wanted
from live_adapter.blotter import Blotter
from live_adapter.learning import History
from live_adapter.log import MomentLog
from live_adapter.moments import Moment
from live_adapter.paper import PaperSession, Step
from live_adapter.parity import SETTINGS
from live_adapter.past import PAST, Past
from live_adapter.safety import Limits, Safety, Seen

EVERY = 60  # moments between two checkpoints: what a restart may have to feed again


@dataclass(frozen=True)
class Pulse:
    """How a feed is, see `safety.Seen`."""

    now: datetime
    heard: datetime | None = None
    told: datetime | None = None


class Desk:
    """A paper session with its files and its stops, while its context lasts.

    Parameters
    ----------
    folder : Path
        Of the session: a new one, or one of the same name, settings and source.
    plan : Plan
    period : int
        Seconds of a bar.
    names : Names
    source : str
        Where moments come from, as it stands in ``session.toml``.
    limits : Limits
    pulse : callable
        Given the time of a moment, returns how the feed is.
    sources, history
        See `PaperSession`.

    Attributes
    ----------
    session : PaperSession
    blotter : Blotter
    safety : Safety
    repaired : int
        Bytes of torn lines that were dropped.
    passed_over : str
        Why a checkpoint that was there is not used and all is fed again; "" if none was amiss.

    Raises
    ------
    UsageError
        If the folder holds a session of other settings, or one that runs.
    DataError
        If it cannot be written, or what it holds was changed.
    """

    def __init__(
        self,
        folder: Path,
        plan: Plan,
        period: int,
        names: Names,
        source: str,
        *,
        limits: Limits,
        pulse: Callable[[datetime], Pulse] = Pulse,
        sources: Sequence[str] = (),
        history: History | None = None,
    ) -> None:
        self.folder, self._names, self._pulse = folder, names, pulse
        self._lock = _locked(folder)
        try:
            _keep_settings(folder, plan, period, names, source)
            torn = MomentLog(folder).dropped
            self._of = f"{checkpoint.code()} {plan.digest()} {period}"
            state, self.passed_over = _state(folder, self._of)
            self._past = Past(folder, 0 if state is None else state["past"])
            since = None if state is None else state["blotter"]
            self.blotter = Blotter(folder, names, plan.rules.cash, since)
            self.repaired = torn + self.blotter.dropped
            self.safety = Safety(folder, limits, names, self.blotter.journal.tell)
            self._session: PaperSession | None = None
            self._session = PaperSession(
                *(folder, plan, period),
                sources=sources,
                history=history,
                allow=self._allow,
                fed=self.blotter.restore,
                state=None if state is None else state["session"],
            )
            _check_log(folder, self._session.now, self.blotter.until)
            self.blotter.journal.tell(self.safety.latched)
            if self._session.now is not None:
                self._noted(self._session.now, asked=True)
            self._new, self._whole = self._session.again, True
        except BaseException:
            self._lock.close()
            raise

    @property
    def session(self) -> PaperSession:
        """The account and what trades on it."""
        assert self._session is not None
        return self._session

    def take(self, moment: Moment) -> Step:
        """Learn of a moment, decide, order what is allowed, and write all of it down."""
        self._whole = False
        step = self.session.take(moment)
        self._noted(moment.time, asked=step.asked.height > 0)
        self._new, self._whole = self._new + 1, True
        if self._new >= EVERY:
            self.keep()
        return step

    def keep(self) -> None:
        """Let go of what is over, and write down all the rest for a restart to begin with."""
        self._whole = False
        self._past.take(self.session.let_go())
        self.blotter.forget(self.session.broker.so_far())
        state = {
            "session": self.session.state(),
            "blotter": self.blotter.state(),
            "past": self._past.size,
        }
        checkpoint.write(self.folder, self._of, state)
        self._new, self._whole = 0, True

    def resume(self, now: datetime) -> None:
        """End all stops.

        Raises
        ------
        UsageError
            If the file of the kill switch is still there.
        """
        self.blotter.journal.tell(self.safety.resume(now))

    def reconcile(self) -> int:
        """Tell the journal how the orders stand that were open when the session stopped.

        Returns
        -------
        int
            How many those are.
        """
        now = self.session.now
        if now is None:
            return 0
        waiting = state.read(self.folder / "state.json").get("open_orders", [])
        reports = {
            e.payload["report"]["client_order_id"]: e.payload["report"]["status"]
            for e in journal.read(self.folder / "journal.jsonl")
            if e.event == "order_report"
        }
        names = ("order_id", "client_order_id")
        told = [{name: row[name] for name in names} for row in waiting]
        rows = [row | {"status": reports.get(row["client_order_id"], "New")} for row in told]
        entries = [journal.Entry(now.isoformat(), "reconcile_order", row) for row in rows]
        self.blotter.journal.tell(entries)
        return len(entries)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._end()
        except DataError:
            if error is None:  # else that stands: what failed first is what is to be told
                raise
        finally:
            self._lock.close()

    def _end(self) -> None:
        if self.blotter.run is not None:
            if self._whole and self._new:
                self.keep()
            ledger.write(self.folder, self.blotter.run, self._past.read())

    def _noted(self, now: datetime, *, asked: bool) -> None:
        self.blotter.note(self.session.broker, now, asked=asked)
        self.blotter.journal.tell(self.safety.watch(self._seen(now)))

    def _seen(self, time: datetime) -> Seen:
        pulse = self._pulse(time)
        # While the session is fed again nothing but its files says what it has.
        equity = self.blotter.equity if self._session is None else self._session.broker.equity
        began = self.blotter.equity_before(pulse.now)
        return Seen(pulse.now, pulse.heard, pulse.told, equity, began, self.blotter.recent)

    def _allow(self, moment: Moment, decided: pl.DataFrame) -> pl.DataFrame:
        if self._names.mode != "paper":
            self.blotter.journal.tell(wanted(decided, moment.bars, self._names))
            return decided.clear()
        if self._session is None:  # a session that was stopped may have refused some of it
            known = decided.select("ticker", "side", "time").rows()
            refused = self.blotter.journal.has_refused
            keep = [not refused(self._names.order(*row)) for row in known]
            decided = decided.filter(pl.Series(keep, dtype=pl.Boolean))
        allowed, told = self.safety.allow(decided, self._seen(moment.time))
        self.blotter.journal.tell(told)
        return allowed


def _state(folder: Path, of: str) -> tuple[dict[str, Any] | None, str]:
    """Return the checkpoint of a session if it fits the other files, and why it does not."""
    state, why = checkpoint.read(folder, of)
    if state is None:
        return None, why
    fits = (
        PaperSession.fits(folder, state["session"])
        and Blotter.fits(folder, state["blotter"])
        and files.holds(folder / PAST, state["past"])
    )
    return (state, "") if fits else (None, "the files beside it are of another time")


def _check_log(folder: Path, now: datetime | None, until: datetime | None) -> None:
    """Refuse files of an account that what was fed does not lead to."""
    if until is not None and (now is None or now < until):
        raise DataError(
            f"{folder / 'moments'} ends {f'at {now}' if now else 'before the first moment'}, and "
            f"equity.csv at {until}: what was fed is gone; restore it, or move the folder away"
        )


def _locked(folder: Path) -> Any:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / "lock").open("a+", encoding="utf-8")
    except OSError as error:
        raise DataError(f"{folder} cannot be written ({error.strerror}); choose --out") from None
    try:
        lock(file)
    except BlockingIOError:
        file.seek(0)
        by = file.read().strip() or "another process"
        file.close()
        raise UsageError(
            f"the session in {folder} is being run by {by}; wait for it, or name another --session"
        ) from None
    file.truncate(0)
    file.write(holder())
    file.flush()
    return file


def _keep_settings(folder: Path, plan: Plan, period: int, names: Names, source: str) -> None:
    """Write the settings of a new session; refuse those of another one."""
    path = folder / SETTINGS
    told = {
        "mode": names.mode,
        "source": source,
        "bar_seconds": period,
        "digest": plan.digest(),
        "session": names.session,
    }
    if not path.exists():
        if any((folder / "moments").glob("*.jsonl")):
            raise DataError(
                f"{path} is gone, of a session that began; restore it, or move the folder away"
            )
        files.replace(path, tomli_w.dumps({**told, "settings": plan.settings()}).encode())
        return
    try:
        found = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        raise DataError(f"{path} is damaged; move the folder away") from None
    for name, value in told.items():
        was = found.get(name)
        if was != value:
            other = _other(found, plan) if name == "digest" else (name, was, value)
            raise UsageError(
                "{} holds a session of other settings ({} {}, not {}); go on with those in its "
                "{}, or name another --session or --out".format(folder, *other, SETTINGS)
            )


def _other(found: Mapping[str, Any], plan: Plan) -> tuple[str, Any, Any]:
    """Return the first setting of a session that a plan has otherwise: its name and both."""
    before, now = _flat(found.get("settings", {})), _flat(plan.settings())
    for name in sorted({*before, *now} - {"data"}):
        if before.get(name) != now.get(name):
            return name, before.get(name, "none"), now.get(name, "none")
    return "digest", found["digest"], plan.digest()


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings by name, those of a section by section.name."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        inner = value if isinstance(value, Mapping) else None
        found |= {name: value} if inner is None else {f"{name}.{k}": v for k, v in inner.items()}
    return found
