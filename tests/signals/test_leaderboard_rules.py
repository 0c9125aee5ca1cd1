"""Who is on top of a board, by which rule, and which contract a name means."""

import math
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from kalshi_bt.errors import DataError, UsageError
from kalshi_bt.signals.leaderboard import resolve_top_model, resolve_top_organization
from kalshi_bt.signals.leaderboard_names import (
    Contract,
    choose_contract,
    code,
    contract_name,
    match,
    organization_key,
    similarity,
)
from kalshi_bt.signals.leaderboard_reference import (
    ACTIONS,
    buy_quantity,
    fair_cents,
    model_fair,
    rank_probability,
)
from kalshi_bt.signals.leaderboard_rules import ResolutionRule, release_interval, standing
from tests.signals.naive_leaderboard import table_fair

NOW = datetime(2026, 2, 1, tzinfo=UTC)


def row(
    model: str, rank_ub: float | None = 1, score: float = 1500.0, **more: Any
) -> dict[str, Any]:
    usual = {"organization": model[0].upper(), "votes": 1_000, "release_date": "2025-01-01"}
    return {"model_name": model, "rank_ub": rank_ub, "score": score} | usual | more


def test_the_cascade_goes_rank_score_votes_release_name() -> None:
    cases = [
        ([row("a", 2, 1600), row("b", 1, 1400)], "b"),
        ([row("a", score=1499), row("b", score=1500)], "b"),
        ([row("a"), row("b", votes=1_001)], "b"),
        ([row("a"), row("b", release_date="2024-12-31")], "b"),
        ([row("b"), row("a")], "a"),
        ([row("b", release_date=None), row("a", release_date=None)], "a"),
        ([row("a", release_date=None), row("b")], "b"),
        ([row("a", -1), row("b", 9_999)], "b"),
        ([row("a", 0), row("b", 3)], "b"),
        ([row("a", None, rank=4), row("b", None, rank=3)], "b"),
    ]
    for rows, winner in cases:
        assert resolve_top_model(rows) == winner
        assert resolve_top_model(rows[::-1]) == winner
        assert resolve_top_organization(rows) == winner.upper()


def test_nobody_is_on_top_of_an_empty_board() -> None:
    assert resolve_top_model([]) is None
    assert resolve_top_organization([]) is None
    assert resolve_top_organization([row("a", organization="")]) is None


def test_a_score_that_is_no_number_is_last_and_negative_votes_are_none() -> None:
    """T18."""
    assert resolve_top_model([row("a", score=float("nan")), row("b", score=-1.0)]) == "b"
    assert resolve_top_model([row("a", votes=-5), row("b", votes=0, release_date=None)]) == "a"
    assert resolve_top_model([row("a", votes=-5, release_date=None), row("b", votes=1)]) == "b"


def test_dates_do_not_sort_as_text() -> None:
    """T18: as text "03/04/2025" comes before every ISO date."""
    rows = [row("a", release_date="2024-11-30"), row("b", release_date="03/04/2025")]
    assert resolve_top_model(rows, "cascade_text") == "b"
    assert resolve_top_model(rows) == "a"


@pytest.mark.parametrize(
    "dates",
    [
        ("2025", "2025-03-04"),
        ("2025-03", "2025-03-20"),
        ("03/04/2025", "2025-03-20"),
        ("2025-03", "2025-03"),
        ("soon", "2025-03-04"),
    ],
)
def test_dates_that_overlap_leave_a_tie_undecided(dates: tuple[str, str]) -> None:
    rows = [row("a", release_date=dates[0]), row("b", release_date=dates[1])]
    assert standing(rows).undecided == ("a", "b")
    assert resolve_top_model(rows) is None
    assert resolve_top_organization(rows) is None


def test_dates_that_cannot_overlap_decide() -> None:
    rows = [row("a", release_date="2025-03"), row("b", release_date="2025-02-28")]
    assert resolve_top_model(rows) == "b"
    later = [row("a", release_date="25/03/2025"), row("b", release_date="2025-04")]
    assert resolve_top_model(later) == "a"
    third = [*rows, row("c", release_date="2025")]
    assert standing(third).undecided == ("a", "b", "c")


@pytest.mark.parametrize(
    ("said", "first", "last"),
    [
        ("2025", (2025, 1, 1), (2025, 12, 31)),
        ("2024-02", (2024, 2, 1), (2024, 2, 29)),
        ("2025-12", (2025, 12, 1), (2025, 12, 31)),
        ("2025-03-04T10:00:00Z", (2025, 3, 4), (2025, 3, 4)),
        ("25/04/2025", (2025, 4, 25), (2025, 4, 25)),
        ("March 2025", (2025, 3, 1), (2025, 3, 31)),
        ("2025-13-01", (1, 1, 1), (9999, 12, 31)),
        (None, (9999, 12, 31), (9999, 12, 31)),
        (date(2025, 5, 6), (2025, 5, 6), (2025, 5, 6)),
    ],
)
def test_release_intervals(said: Any, first: Any, last: Any) -> None:
    assert release_interval(said) == (date(*first), date(*last))


def test_rules_are_data() -> None:
    tied = [row("a1", organization="A"), row("a2", organization="A"), row("b", 2, organization="B")]
    across = [*tied, row("c", organization="C")]
    assert standing(tied, "alone").models == ()
    assert standing(tied, "organization").organizations == ("A",)
    assert standing(across, "organization").models == ()
    assert standing(across, "ties_win").organizations == ("A", "C")
    assert standing([row("x", 5, 1501.0), row("y")], "elo").models == ("x",)
    assert standing(
        [row("x", 2, rank=1), row("y", 1, rank=2)], ResolutionRule(metric="rank")
    ).models == ("x",)
    with pytest.raises(
        UsageError, match="unknown resolution rule 'cascad'; did you mean 'cascade'"
    ):
        standing([], "cascad")


def test_a_board_may_be_a_frame() -> None:
    frame = pl.DataFrame({"model": ["a", "b"], "rank_ub": [2.0, 1.0], "score": [1.0, None]})
    assert resolve_top_model(frame) == "b"


def test_names_match_exactly_or_not_at_all() -> None:
    names = ["claude-opus-4-1", "claude-opus-4-5", "gpt-5-high"]
    assert match("Claude Opus_4 1", names) == "claude-opus-4-1"
    assert similarity("claude-opus-4-6", "claude-opus-4-5") >= 0.85  # neighbours of one family
    assert match("claude-opus-4-6", names) is None
    assert match("claude-opus-4-6", names, least=0.80) in names
    assert match("high-gpt-5", names, least=0.90) == "gpt-5-high"
    assert match("GPT5", names, {"gpt5": "gpt-5-high"}) == "gpt-5-high"
    with pytest.raises(DataError, match="not among the 3 names; correct the override"):
        match("GPT5", names, {"gpt5": "gpt-6"})


def test_organisations_and_their_products_are_one() -> None:
    pairs = {
        "Anthropic": "Claude",
        "Google DeepMind": "Gemini",
        "OpenAI": "ChatGPT",
        "xAI": "Grok",
        "Meta": "LLaMA",
        "Alibaba": "Qwen",
        "Baidu": "Ernie",
        "Bytedance": "Dola",
        "Moonshot AI": "Kimi",
        "DeepSeek": "Deepseek",
        "Mistral AI": "Mistral",
        "Zhipu AI": "GLM",
        "Z.ai": "GLM",
    }
    for maker, product in pairs.items():
        assert organization_key(maker) == organization_key(product)
    assert len({organization_key(maker) for maker in pairs}) == len(pairs) - 1


def test_contract_names() -> None:
    assert contract_name("gpt-5-high", "x") == "gpt-5-high"
    assert contract_name("gpt-5-high:: OpenAI", None) == "gpt-5-high"
    assert contract_name("", "Will gemini-3-pro be the top AI model this month?") == "gemini-3-pro"
    assert contract_name(None, "Best AI in Aug 2025?") is None
    assert code("Other") == code("None of the above") == 0
    assert code("a") == int(code("a")) > 0


def test_of_several_events_the_preferred_then_the_nearest_is_chosen() -> None:
    def contract(event: str, days: int, name: str = "gpt-5-high") -> Contract:
        return Contract(f"T-{event}-{name}", event, name, NOW + timedelta(days=days))

    near, far, gone = contract("E2", 3), contract("E1", 9), contract("E0", -1)
    listed = [far, gone, near, contract("E3", 1, "gpt-5-mini")]
    assert choose_contract("gpt-5-high", listed, NOW) == near
    assert choose_contract("gpt-5-high", listed, NOW, ["E1"]) == far
    assert choose_contract("gpt-5-high", [gone], NOW) is None


def test_documented_table_vectors() -> None:
    found = rank_probability([6, 7, 8, 9, 10])
    assert found == pytest.approx([0.02963, 0.02195, 0.01626, 0.01205, 0.01], abs=5e-6)
    assert rank_probability([1, 2, 3, 4, 5, 0, -3, np.nan]).tolist() == [
        *(0.65, 0.22, 0.10, 0.06, 0.04),
        *(0.0, 0.0, 0.0),
    ]
    p = model_fair(1, wins=True, preliminary=False, battles=2_000, win_rate=0.58)
    assert float(p) == pytest.approx(0.712)
    assert fair_cents(p) == 71
    early = model_fair(1, wins=True, preliminary=True, battles=2_000, win_rate=0.58)
    assert fair_cents(early) == 50
    for rank in range(1, 15):
        for wins in (False, True):
            own = fair_cents(model_fair(rank, wins, preliminary=False)) / 100
            assert own == pytest.approx(table_fair(rank, wins=wins, preliminary=False))


def test_documented_quantity_vector() -> None:
    """Fair 70 at 52: 1 + (18 - 3) = 16 contracts; fee 28 cents, 2 a contract."""
    assert buy_quantity(70, 52) == 16
    assert buy_quantity(70, 52, position=95) == 5
    assert buy_quantity(70, 52, position=100) == 0
    assert buy_quantity(54, 52) == 0  # two cents are less than three
    assert buy_quantity(55, 52) == 1
    assert buy_quantity(50, 52) == 0


def test_the_documented_gate_takes_what_the_fee_eats() -> None:
    """T11: gross 3 cents at 52 cost 2 in fees; net of them the edge is 1.25, not 3."""
    assert buy_quantity(55, 52) == 1
    assert 0.55 - 0.52 - 0.07 * 0.52 * 0.48 < 0.03


def test_every_change_has_an_action_but_removal() -> None:
    """REF ignores a removed model, so that it can stay the leader."""
    assert set(ACTIONS) == {
        *("new_leader", "ranking_change", "score_shift", "new_model", "pairwise_shift")
    }


def test_a_row_without_a_name_is_refused_by_what_it_has() -> None:
    with pytest.raises(DataError, match="neither model_name nor model, only rank_ub"):
        resolve_top_model([{"model": "a", "rank_ub": 2}, {"rank_ub": 1}])


def test_any_number_of_votes_is_a_number() -> None:
    rows = [{"model": name, "rank_ub": 1, "votes": n} for name, n in (("b", 9), ("a", math.inf))]
    assert resolve_top_model(rows) == "a"
