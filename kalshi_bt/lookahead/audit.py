"""The audit of one signal on one panel."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import polars as pl

from kalshi_bt.data.panel import Panel
from kalshi_bt.forecasting import Learned
from kalshi_bt.lookahead import future, hidden, learning, purity, surroundings
from kalshi_bt.lookahead.compare import rows_differ
from kalshi_bt.lookahead.finding import Finding, Verdict
from kalshi_bt.lookahead.sampling import IN_A_RUN, Size, bars_of, chosen, cuts, speaks, turns
from kalshi_bt.lookahead.subject import SignalError, Subject
from kalshi_bt.lookahead.trial import Trial
from kalshi_bt.plan import Plan

Check = Callable[[], Finding | None]
_BY_DESIGN = "reference mode fits it with every outcome, those of the markets it judges included"
_NOTHING = pl.DataFrame(schema={"market": pl.UInt32, "count": pl.UInt32})


def of_a_run(made: Panel, plan: Plan, learned: Learned, setups: pl.DataFrame) -> Verdict:
    """Return the verdict of a small audit of what a run is about to trade on.

    Parameters
    ----------
    made : Panel
    plan : Plan
    learned : Learned
        As `forecasting.learn` returns it.
    setups : frame
        As `forecasting.forecasts` returns it.
    """
    told = setups.select("market", told=pl.Series(speaks(setups)))
    spoken = told.group_by("market").agg(count=pl.col("told").sum())
    audit = Audit(
        Subject(plan.config.strategy, learned),
        made,
        IN_A_RUN,
        data=plan.config.data,
        spoken=spoken,
        by_design=by_design(plan, learned),
    )
    try:
        return audit.verdict()
    except SignalError as error:  # the run itself went well: say what did not
        return replace(not_asked(made), notes=[f"{error} when audited"])


def by_design(plan: Plan, learned: Learned) -> str:
    """Return what the mode of a plan does knowingly with later outcomes."""
    return _BY_DESIGN if learned.history is not None and plan.config.mode == "reference" else ""


def not_asked(made: Panel) -> Verdict:
    """Return the verdict of a run that was not to be audited."""
    return Verdict([], 0, 0, 0, made.markets.height, [], ["audit=false"])


@dataclass(frozen=True)
class Audit:
    """What is audited, and how thoroughly.

    Attributes
    ----------
    subject : Subject
    panel : Panel
    size : Size
    data : str
        Folder of the dataset.
    spoken : frame (market, count) or None
        In how many bars of each market the signal says something; None asks it.
    by_design : str
        See `Verdict`.
    """

    subject: Subject
    panel: Panel
    size: Size
    data: str = ""
    spoken: pl.DataFrame | None = None
    by_design: str = ""

    def verdict(self) -> Verdict:
        """Return what the checks find.

        Raises
        ------
        SignalError
            If the signal raises for a reason that is no look-ahead.
        """
        try:
            spoken = self._counted() if self.spoken is None else self.spoken
            quotes = self._sampled(chosen(self.panel, spoken, self.size))
            said = self.subject.says(quotes)
        except SignalError as error:
            return self.refused(error)
        return self.on(quotes, said)

    def refused(self, error: SignalError) -> Verdict:
        """Return the verdict on a signal that does not answer without what no signal may see.

        Raises
        ------
        SignalError
            The same, if that is not why it does not answer.
        """
        if not hidden.is_hidden(error.column):
            raise error
        quotes = self._sampled(chosen(self.panel, _NOTHING, self.size))
        found = hidden.demanded(self.subject, quotes, error.column)
        return self._told([found], quotes, 0, ["hidden_columns"])

    def on(self, quotes: pl.DataFrame, said: pl.DataFrame) -> Verdict:
        """Return what the checks find in what the signal says of some quotes.

        Parameters
        ----------
        quotes : frame of schema.QUOTES
            Sorted by (ticker, time), with the columns of outside series.
        said : frame
            As `Subject.says` returns it.
        """
        lost = rows_differ("rows", "the signal was called", quotes, said)
        if lost is not None:
            return self._told([lost], quotes, 0, ["rows"])
        trial = self._trial(quotes, said)
        checks = self._checks(trial)
        shaky, read = purity.repeat(trial, self.data)
        if shaky is not None:  # no other comparison means anything
            checks = {}
        made = (_fails_in(name, check, trial) for name, check in checks.items())
        findings = [shaky, read, *made]
        return self._told(
            [found for found in findings if found is not None],
            quotes,
            int(speaks(said).sum()),
            ["rows", "repeat", "outside", *checks],
            self._unchecked(trial),
        )

    def _checks(self, trial: Trial) -> dict[str, Check]:
        """Return the checks to make, those that concern the future first."""
        named: dict[str, Callable[[Trial], Finding | None]] = {
            "truncate": future.truncate,
            "perturb": future.perturb,
            "hidden_columns": hidden.hidden_columns,
            "events": surroundings.events,
            "order": partial(surroundings.order, every=self.size.thorough),
            "warm_up": surroundings.warm_up,
            "state": purity.state,
            "zone": purity.zone,
        }
        if not hasattr(time, "tzset"):  # Windows
            del named["zone"]
        for name in (*_unmade(trial), *([] if trial.late_cuts else ["warm_up"])):
            del named[name]
        checks: dict[str, Check] = {n: partial(check, trial) for n, check in named.items()}
        history = self.subject.learned.history
        if history is not None:
            checks["samples"] = partial(learning.samples, trial)
            checks["fit"] = partial(learning.fit, self.subject, history, every=self.size.thorough)
        return checks

    def _counted(self) -> pl.DataFrame:
        """Return in how many bars of each market the signal speaks; of very large panels, some."""
        most = replace(self.size, markets=20 * self.size.markets, bars=20 * self.size.bars)
        asked = pl.Series(range(self.panel.markets.height), dtype=pl.UInt32)
        if self.panel.bars.height > most.bars:
            asked = chosen(self.panel, _NOTHING, most)
        bars = self.panel.bars.filter(pl.col("market").is_in(asked.implode()))
        said = self.subject.says(replace(self.panel, bars=bars).quotes().collect())
        if said.height != bars.height:  # the check of rows will say so
            return _NOTHING
        told = pl.DataFrame({"market": bars["market"], "told": speaks(said)})
        return told.group_by("market").agg(count=pl.col("told").sum())

    def _sampled(self, markets: pl.Series) -> pl.DataFrame:
        """Return the quotes of some markets, the newest bars where they have too many."""
        bars = self.panel.bars.filter(pl.col("market").is_in(markets.implode()))
        if bars.height > 1.2 * self.size.bars:
            most = max(self.size.bars // max(len(markets), 1), 1)
            newest = bars.group_by("market", maintain_order=True).tail(most)
            bars = newest.select(self.panel.bars.columns)
        return replace(self.panel, bars=bars).quotes().collect()

    def _trial(self, quotes: pl.DataFrame, said: pl.DataFrame) -> Trial:
        told = speaks(said)
        place, _ = bars_of(quotes)
        lookback, count = self.subject.lookback, self.size.cuts
        late = place >= lookback if lookback else np.zeros(quotes.height, dtype=bool)
        turned = turns(said)
        rounds = cuts(quotes, told, count, warm=late, turned=turned) if late.any() else ()
        early = cuts(quotes, told, count, turned=turned)
        return Trial(self.subject, quotes, said, early, rounds)

    def _unchecked(self, trial: Trial) -> list[str]:
        """Say what could not be checked."""
        notes = list(dict.fromkeys(_unmade(trial).values()))
        bars = self.subject.lookback
        if bars is None:
            notes.append("the signal states no lookback: its warm-up was not checked")
        elif not trial.late_cuts:
            notes.append(
                f"no audited market has more bars than the lookback of {bars:,}: no warm-up"
            )
        return notes

    def _told(
        self,
        findings: list[Finding],
        quotes: pl.DataFrame,
        opinions: int,
        checks: list[str],
        notes: list[str] | None = None,
    ) -> Verdict:
        return Verdict.of(
            findings,
            markets=quotes["ticker"].n_unique(),
            bars=quotes.height,
            opinions=opinions,
            universe=self.panel.markets.height,
            checks=checks,
            notes=notes or [],
            by_design=self.by_design,
        )


def _unmade(trial: Trial) -> dict[str, str]:
    """Return the checks for which there is nothing to change, and why."""
    found: dict[str, str] = {}
    if not any((trial.times <= cut).any() for cut in trial.cuts):
        why = "no audited event has a bar after another: no future to remove"
        found |= {"truncate": why, "perturb": why}
    if trial.quotes["event"].n_unique() < 2:
        found["events"] = "one event was audited: there is no other to remove"
    return found


def _fails_in(name: str, check: Check, trial: Trial) -> Finding | None:
    """Return what a check finds; an error that only its change of the quotes brings about, too."""
    try:
        return check()
    except SignalError as error:
        first = trial.said.sort("time", "ticker").row(0, named=True)
        place = (trial.subject.columns[0], str(first["ticker"]), first["time"])
        change = f"it raises when the quotes are changed so: {error}"
        return Finding(name, *place, None, None, change)
