"""The audit of any strategy on a dataset, as ``kalshi-bt audit`` asks for it."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from kalshi_bt.config import Assumptions, environment, layered
from kalshi_bt.data.panel import outcomes, panel
from kalshi_bt.data.store import Store
from kalshi_bt.errors import KalshiBtError, UsageError
from kalshi_bt.forecasting import Learned, learn, references
from kalshi_bt.lookahead.audit import Audit, by_design
from kalshi_bt.lookahead.finding import Verdict
from kalshi_bt.lookahead.sampling import COMPLETE
from kalshi_bt.lookahead.subject import Subject
from kalshi_bt.past import begun
from kalshi_bt.plan import Plan, plan
from kalshi_bt.settings import fields_of, replaced
from kalshi_bt.signal_file import is_signal_file, load_signal
from kalshi_bt.units import parse_duration

_CARRIER = "bollinger"  # whose settings other than the signal's a signal file is audited under


def audited(store: Store, plan: Plan, markets: int | None = None) -> Verdict:
    """Return the verdict of a complete audit of a plan's signal on a dataset.

    Parameters
    ----------
    store : Store
    plan : Plan
    markets : int, optional
        How many to audit, about; 600 without.

    Raises
    ------
    DataError
        If the dataset cannot be used, or the signal raises for a reason that is no look-ahead.
    """
    size = COMPLETE if markets is None else replace(COMPLETE, markets=markets)
    if size.markets < 1:
        raise UsageError(f"--markets is {markets}; expected at least 1")
    config = plan.config
    made = panel(
        store,
        period=plan.period,
        series=config.series,
        start=config.start,
        end=config.end,
        half_spread=plan.half_spread,
        references=references(plan.signal),
        quotes=config.assumptions.quotes,
        quote_max_age=timedelta(microseconds=parse_duration(config.assumptions.quote_max_age)),
    )
    known = outcomes(store, made.markets, config.end)
    try:
        learned = learn(made, plan, known, begun(store, plan, made))
    except KalshiBtError:
        raise
    except Exception as error:  # noqa: BLE001 - a user's signal may raise anything
        subject = Subject(config.strategy, Learned([(made.bars["time"][0], plan.signal)]))
        failure = subject.failure(error, made.quotes().limit(0).collect())
        return Audit(subject, made, size, config.data).refused(failure)
    subject = Subject(config.strategy, learned)
    audit = Audit(subject, made, size, config.data, by_design=by_design(plan, learned))
    return audit.verdict()


def planned(flags: Mapping[str, Any], sets: Iterable[str]) -> Plan:
    """Return the plan whose signal is to be audited.

    A signal file is not asked what it adds, as a run does to choose a sizing: one that demands an
    outcome would fail there, and is to be found out here.

    Parameters
    ----------
    flags : mapping
        As `config.layered` takes them.
    sets : iterable of str
        ``KEY=VALUE``; of a signal file, parameters of the signal and assumptions.

    Raises
    ------
    UsageError, DataError
        If a strategy, parameter or value does not exist or does not fit.
    """
    spec = flags.get("strategy") or ""
    if not is_signal_file(spec):
        return plan(layered(None, environment(), flags, sets))
    cls: Any = load_signal(spec)
    reference = flags.get("mode") == "reference"
    signal = (getattr(cls, "reference", cls) if reference else cls)()
    own, common = {}, []
    for text in sets:
        name, _, value = text.partition("=")
        name = name.strip().removeprefix("signal.")
        if name in fields_of(Assumptions()):
            common.append(text)
        else:
            own[name] = value
    carrier = plan(layered(None, environment(), {**flags, "strategy": _CARRIER}, common))
    config = replace(carrier.config, strategy=spec)
    return replace(carrier, config=config, signal=replaced(signal, own, cls.__name__))
