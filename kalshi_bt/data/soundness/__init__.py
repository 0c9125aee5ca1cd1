"""Whether a dataset can be trusted: rules by topic, asked by `audit`."""

from kalshi_bt.data.soundness.audit import RULES, Audit, Checked, Example, Finding, audit, text

__all__ = ["RULES", "Audit", "Checked", "Example", "Finding", "audit", "text"]
