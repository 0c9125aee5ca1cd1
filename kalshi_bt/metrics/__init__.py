"""Numbers that describe a run, and the statistics that say how far they can be trusted.

Names are loaded on first use: some need libraries that are slow to import. Published numbers are
reproduced in ``tests/metrics/test_published_statistics.py``; docstrings name theirs as there.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kalshi_bt.metrics.aggregation import autocorrelations, lo_factor, lo_standard_error
    from kalshi_bt.metrics.book import Book, Interval, Metric, Score, Undefined
    from kalshi_bt.metrics.clustering import (
        cluster_standard_error,
        design_effect,
        effective_size,
        observed_design_effect,
    )
    from kalshi_bt.metrics.controls import Permutation, control_p_value, side_permutation
    from kalshi_bt.metrics.details import tables
    from kalshi_bt.metrics.equity import daily_equity
    from kalshi_bt.metrics.evidence import (
        EProcess,
        bernstein_e_process,
        e_process,
        reverse_e_process,
        trades_to_reach,
    )
    from kalshi_bt.metrics.overfitting import (
        Overfitting,
        Superiority,
        false_discovery,
        pbo,
        superior_predictive_ability,
    )
    from kalshi_bt.metrics.proportions import clopper_pearson, jeffreys, wilson
    from kalshi_bt.metrics.recalibration import (
        MincerZarnowitz,
        Recalibration,
        cox_recalibration,
        mincer_zarnowitz,
    )
    from kalshi_bt.metrics.registry import METRICS, score, to_json
    from kalshi_bt.metrics.reliability import expected_calibration_error, reliability_table
    from kalshi_bt.metrics.resampling import Bootstrap, cluster_bootstrap, paired_bootstrap
    from kalshi_bt.metrics.scoring import (
        Corp,
        Decomposition,
        brier,
        brier_decomposition,
        corp,
        log_loss,
        skill,
    )
    from kalshi_bt.metrics.sharpe_ratio import (
        Moments,
        binary_moments,
        minimum_track_record,
        moments,
        probabilistic_sharpe,
        sharpe_standard_error,
    )
    from kalshi_bt.metrics.time_blocks import optimal_block_length, stationary_bootstrap
    from kalshi_bt.metrics.trials import (
        deflated_sharpe,
        expected_maximum,
        observed_fdr,
        planned_fdr,
        power,
    )
    from kalshi_bt.metrics.wild_clusters import WildTest, wild_cluster_interval, wild_cluster_test

__all__ = [
    "METRICS",
    "Book",
    "Bootstrap",
    "Corp",
    "Decomposition",
    "EProcess",
    "Interval",
    "Metric",
    "MincerZarnowitz",
    "Moments",
    "Overfitting",
    "Permutation",
    "Recalibration",
    "Score",
    "Superiority",
    "Undefined",
    "WildTest",
    "autocorrelations",
    "bernstein_e_process",
    "binary_moments",
    "brier",
    "brier_decomposition",
    "clopper_pearson",
    "cluster_bootstrap",
    "cluster_standard_error",
    "control_p_value",
    "corp",
    "cox_recalibration",
    "daily_equity",
    "deflated_sharpe",
    "design_effect",
    "e_process",
    "effective_size",
    "expected_calibration_error",
    "expected_maximum",
    "false_discovery",
    "jeffreys",
    "lo_factor",
    "lo_standard_error",
    "log_loss",
    "mincer_zarnowitz",
    "minimum_track_record",
    "moments",
    "observed_design_effect",
    "observed_fdr",
    "optimal_block_length",
    "paired_bootstrap",
    "pbo",
    "planned_fdr",
    "power",
    "probabilistic_sharpe",
    "reliability_table",
    "reverse_e_process",
    "score",
    "sharpe_standard_error",
    "side_permutation",
    "skill",
    "stationary_bootstrap",
    "superior_predictive_ability",
    "tables",
    "to_json",
    "trades_to_reach",
    "wild_cluster_interval",
    "wild_cluster_test",
    "wilson",
]

_NAMES = {
    "aggregation": "autocorrelations lo_factor lo_standard_error",
    "book": "Book Interval Metric Score Undefined",
    "clustering": "cluster_standard_error design_effect effective_size observed_design_effect",
    "controls": "Permutation control_p_value side_permutation",
    "details": "tables",
    "equity": "daily_equity",
    "evidence": "EProcess bernstein_e_process e_process reverse_e_process trades_to_reach",
    "overfitting": "Overfitting Superiority false_discovery pbo superior_predictive_ability",
    "proportions": "clopper_pearson jeffreys wilson",
    "recalibration": "MincerZarnowitz Recalibration cox_recalibration mincer_zarnowitz",
    "reliability": "expected_calibration_error reliability_table",
    "resampling": "Bootstrap cluster_bootstrap paired_bootstrap",
    "scoring": "Corp Decomposition brier brier_decomposition corp log_loss skill",
    "sharpe_ratio": (
        "Moments binary_moments minimum_track_record moments probabilistic_sharpe "
        "sharpe_standard_error"
    ),
    "time_blocks": "optimal_block_length stationary_bootstrap",
    "registry": "METRICS score to_json",
    "trials": "deflated_sharpe expected_maximum observed_fdr planned_fdr power",
    "wild_clusters": "WildTest wild_cluster_interval wild_cluster_test",
}
_HOME = {
    name: f"kalshi_bt.metrics.{home}" for home, names in _NAMES.items() for name in names.split()
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that nothing slow is loaded for what is not used."""
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'kalshi_bt.metrics' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
