"""The line that runs a plan again: what is left out of it is the default."""

import shlex
from collections import Counter
from dataclasses import replace
from typing import Any

from kalshi_bt.config import METHOD, RunConfig
from kalshi_bt.plan import Plan
from kalshi_bt.plan import plan as concrete
from kalshi_bt.strategies import method_of

_UNSAID = {"fills": "cross", "mode": "corrected", "seed": 0}  # left out


def command(plan: Plan) -> str:
    """Return the command line of a run, ready for a shell; what is left out is the default."""
    if plan.handed_over:
        return _call(plan)
    c, settings = plan.config, plan.settings()
    words = ["python", "-m", "kalshi_bt.run", "--strategy", c.strategy, "--data", c.data]
    for name in ("fills", "mode", "cash", "from", "to", "bar", "seed", "format", "n", "stake"):
        if name in settings and settings[name] != _UNSAID.get(name):
            words += [f"--{name}", str(settings[name])]
    words += ["--series", ",".join(c.series)] if c.series else []
    names = Counter(n for part in ("assumptions", "signal", "sizing") for n in settings[part])
    for section, name, value in _changed(plan):
        alone = names[name] == 1 and section != "risk" and name != METHOD
        key = name if alone else f"{section}.{name}"
        words += ["--set", f"{key}={value}"]
    return shlex.join(words)


def _call(plan: Plan) -> str:
    """Return the Python of a run whose signal was handed over as an object."""
    c, settings = plan.config, plan.settings()
    given: dict[str, Any] = {"data": c.data}
    for name in ("fills", "mode", "cash", "from", "to", "bar", "seed"):
        if name in settings and settings[name] != _UNSAID.get(name):
            given[{"from": "start", "to": "end"}.get(name, name)] = settings[name]
    given |= {"series": ",".join(c.series)} if c.series else {}
    for section, name, value in _changed(plan):
        if section != "signal":  # which the object holds
            given.setdefault(section, {})[name] = value
    arguments = ", ".join(f"{name}={value!r}" for name, value in given.items())
    return f"kalshi_bt.backtest({plan.signal!r}, {arguments})"


def _changed(plan: Plan) -> list[tuple[str, str, Any]]:
    """Return (section, name, value) of what differs from the strategy's own, the sizing first."""
    c, settings = plan.config, plan.settings()
    method = settings["sizing"][METHOD]
    usual = concrete(RunConfig(strategy=c.strategy, mode=c.mode), plan.chosen)
    sized = replace(usual.config, sizing={METHOD: method})
    own = concrete(sized, plan.chosen).settings()
    own["sizing"][METHOD] = method_of(usual.sizing)
    return [
        (section, name, value)
        for section in ("sizing", "assumptions", "signal", "risk")
        for name, value in settings[section].items()
        if value != own[section][name]
    ]
