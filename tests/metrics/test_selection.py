"""The best of several variants: what is luck, what is not, and what neither depends on."""

from typing import Any

import numpy as np
import pytest
from metric_rows import DOLLAR, book, rows

from kalshi_bt.metrics import METRICS

DAYS = 60


def made(days: np.ndarray, name: str) -> Any:
    """A metric of variants (days, variants) in dollars."""
    whole = (days * DOLLAR).round().astype(int).T.tolist()
    return METRICS[name].function(book(rows(trial_days=whole)))


def noise(seed: int, variants: int, days: int = DAYS) -> np.ndarray:
    return np.random.Generator(np.random.Philox(key=seed)).normal(0, 9, (days, variants))


def test_the_best_of_many_that_are_nothing_is_seen_through() -> None:
    alone, among, fitted = [], [], []
    for seed in range(8):
        many = noise(seed, 40)
        best = (many.mean(axis=0) / many.std(axis=0)).argmax()
        alone.append(made(many[:, [best, best]], "spa_p"))
        among.append(made(many, "spa_p"))
        fitted.append(made(noise(seed, 20, days=12), "pbo"))
    assert np.mean(alone) < 0.05  # taken alone it would pass for good
    assert np.mean(among) > 0.25
    assert np.mean(fitted) == pytest.approx(0.5, abs=0.2)


def test_one_that_earns_is_found_among_many_that_do_not() -> None:
    many = noise(4, 30)
    many[:, 17] += 6
    assert made(many, "spa_p") < 0.01
    few = noise(4, 9, days=12)
    few[:, 7] += 20
    assert made(few, "pbo") < 0.05


@pytest.mark.parametrize("name", ["pbo", "spa_p"])
def test_neither_the_stakes_nor_idle_variants_decide(name: str) -> None:
    many = noise(5, 6, days=12)
    many[:, 2] += 1
    plain = made(many, name)
    staked = many * np.array([1, 100, 1, 10, 1, 1])
    assert made(staked, name) == pytest.approx(plain, abs=1e-9)
    assert made(np.column_stack([many, many]), "pbo") == made(many, "pbo")  # the same once more
    if name == "spa_p":
        assert made(np.column_stack([many, np.zeros(12)]), name) == plain


def test_what_cannot_be_compared_has_a_reason() -> None:
    for name in ("pbo", "spa_p"):
        assert "no other variant" in made(noise(1, 1), name).reason
        assert "fewer than 10 days" in made(noise(1, 4, days=9), name).reason
    assert "one day than of another" in made(np.full((DAYS, 3), 2.0), "spa_p").reason
    assert "made the same" in made(np.zeros((DAYS, 3)), "pbo").reason
