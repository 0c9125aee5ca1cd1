"""The skeleton of a strategy of a user's own: a documented signal that runs, and its test."""

import keyword
import re
from importlib.util import find_spec
from pathlib import Path

from kalshi_bt.errors import DataError, UsageError
from kalshi_bt.strategies import STRATEGIES

__all__ = ["class_name", "write_skeleton"]

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_TAKEN = {"None", "True", "False", "CHECKS", "Path"}  # by the language, and by the test

_SIGNAL = '''"""SIGNAL: what it believes, in a sentence of yours.

    kalshi-bt run --strategy FILE:SIGNAL --set period=30
    pytest TEST
"""

from dataclasses import dataclass

import polars as pl

from kalshi_bt.signals import check_parameters, parameter
from kalshi_bt.signals.expr import per_market, require


@dataclass(frozen=True, slots=True, kw_only=True)
class SIGNAL:
    """A contract is worth the mean of its recent mids, an example to be replaced.

    Every row of `quotes` is a bar of a market that has ended, in dollars of YES; what its columns
    mean stands in `kalshi_bt.schema.QUOTES`. A signal is pure: it reads no file, no clock and no
    later row, and never sees how a market ends.

    It adds `fair`, the probability of YES (null: no opinion), which is sized by Kelly net of fees;
    or a set-up: `side` (+1 buy YES, -1 buy NO, 0 close, null: nothing) with `entry`, `stop` and
    `target` in dollars of YES. Attributes without an annotation say how it is traded:

        sizing = Kelly(scale=0.5)  # from kalshi_bt.sizing
        risk = Risk(max_positions=5)  # from kalshi_bt.simulator.assumptions
    """

    period: int = parameter(20, "bars whose mids are averaged", low=2, high=1_000)
    min_gap: float = parameter(0.02, "dollars between mean and mid to speak", low=0.0, high=1.0)

    def __post_init__(self) -> None:
        check_parameters(self)

    @property
    def lookback(self) -> int:
        """Bars per market that suffice for the newest value."""
        return self.period

    def __call__(self, quotes: pl.LazyFrame) -> pl.LazyFrame:
        """Return `quotes`, the same rows in the same order, with `fair` added."""
        require(quotes, ["mid"], "SIGNAL")
        # per_market keeps a window inside one market, its rows in time order. Never nest two.
        mean = per_market(pl.col("mid").rolling_mean(self.period)).clip(0.0, 1.0)
        far = (mean - pl.col("mid")).abs() >= self.min_gap
        return quotes.with_columns(fair=pl.when(far).then(mean))
'''

_TEST = '''"""SIGNAL holds to what every signal must hold to, and says what it should.

Run it with ``pytest TEST``. The contract looks for a value that changes when later
rows are removed or changed, when other events are removed, when rows come in another order, and for
a `lookback` that is too short.
"""

from pathlib import Path

import polars as pl
import pytest

from kalshi_bt.signal_file import load_signal
from kalshi_bt.signals.contract import CHECKS, run
from kalshi_bt.signals.random_quotes import sample_quotes

SIGNAL = load_signal(str(Path(__file__).with_name("FILE")) + ":SIGNAL")


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_it_holds_to_the_contract(check):
    check(SIGNAL(), sample_quotes(SIGNAL()))


def test_the_contract_is_not_checked_on_silence():
    said = run(SIGNAL(), sample_quotes(SIGNAL()))
    assert said["fair"].drop_nulls().len() > 0


def test_the_first_values_by_hand():
    bars = pl.DataFrame({"ticker": ["A"] * 3, "time": [1, 2, 3], "mid": [0.25, 0.75, 0.75]})
    said = SIGNAL(period=2)(bars.lazy()).collect()
    # One bar is too few; (0.25 + 0.75) / 2 = 0.50; the third mean is the mid itself.
    assert said["fair"].to_list() == [None, 0.50, None]


def test_a_parameter_outside_its_range_is_refused():
    with pytest.raises(Exception, match="period is 1; expected int from 2 to 1000"):
        SIGNAL(period=1)
'''


def class_name(name: str) -> str:
    """Return the class that a strategy's name becomes.

    Raises
    ------
    UsageError
        If the name is no word of letters, digits and underscores, is a word of the language, or
        belongs to a registered strategy.

    Examples
    --------
    >>> class_name("my_signal"), class_name("MySignal")
    ('MySignal', 'MySignal')
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} is no name of a strategy; expected letters, digits and underscores after a "
            "letter, such as my_signal"
        )
    made = "".join(part[:1].upper() + part[1:] for part in name.split("_"))
    known = {type(chosen.signal).__name__ for chosen in STRATEGIES.values()}
    if name in STRATEGIES or made in known:
        raise UsageError(f"{name} is a registered strategy; choose another name")
    if keyword.iskeyword(name) or made in _TAKEN:
        raise UsageError(f"{name} has a meaning of its own in the file; choose another name")
    return made


def write_skeleton(name: str, into: Path | None = None) -> tuple[Path, Path, str]:
    """Write a signal that runs as it is and its test beside it, and return both and its name.

    Parameters
    ----------
    name : str
        ``my_signal`` or ``MySignal``; the class is `MySignal` either way.
    into : Path, optional
        The file of the signal; in the working folder, after its name, without.

    Returns
    -------
    signal, test : Path
    class : str

    Raises
    ------
    UsageError
        If the name does not fit, or `into` is no Python file's name.
    DataError
        If one of the two files is there already (neither is touched), or cannot be written.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     signal, test, cls = write_skeleton("my_signal", Path(folder, "own.py"))
    ...     signal.name, test.name, cls
    ('own.py', 'test_own.py', 'MySignal')
    """
    made = class_name(name)
    stem = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    signal = into or Path(f"{stem}.py")
    if signal.suffix != ".py" or not signal.stem.isidentifier() or signal.is_dir():
        raise UsageError(f"--into is {signal}; expected a Python file such as {stem}.py")
    if not signal.exists() and find_spec(signal.stem) is not None:
        raise UsageError(f"{signal} would hide the module {signal.stem}; choose another --into")
    test = signal.with_name(f"test_{signal.name}")
    for path in (signal, test):
        if path.exists():
            raise DataError(f"{path} is there already; remove it, or choose another --into FILE.py")
    words = {"SIGNAL": made, "TEST": test.name, "FILE": signal.name}
    try:
        signal.parent.mkdir(parents=True, exist_ok=True)
        for path, text in ((test, _TEST), (signal, _SIGNAL)):
            with path.open("x", encoding="utf-8", newline="\n") as file:
                file.write(re.sub(r"\b(SIGNAL|TEST|FILE)\b", lambda m: words[m[0]], text))
    except OSError as error:
        raise DataError(f"{signal} cannot be written: {error.strerror}") from None
    return signal, test, made
