"""All traps are set: T1 to T26 each have a test here that names it."""

import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def set_for(number: int) -> list[str]:
    """The source of each test of a trap."""
    found: list[str] = []
    for path in sorted(HERE.glob("test_t*.py")):
        parts = re.split(
            r"^(?=def |class |@|[A-Z_]+ ?[:=])", path.read_text("utf-8"), flags=re.MULTILINE
        )
        found += [part for part in parts if part.startswith(f"def test_t{number:02}_")]
    return found


@pytest.mark.parametrize("number", range(1, 27))
def test_the_trap_is_set_and_the_naive_version_falls_into_it(number: int) -> None:
    tests = set_for(number)
    assert tests
    assert any("naive" in test.lower() for test in tests)
