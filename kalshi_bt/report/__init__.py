"""A run as a page, as text and as a summary."""

from kalshi_bt.report.html import render_html
from kalshi_bt.report.model import Run
from kalshi_bt.report.text import render_text, summary

__all__ = ["Run", "render_html", "render_text", "summary"]
