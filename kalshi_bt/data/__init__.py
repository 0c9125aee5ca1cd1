"""Datasets: stored, imported, made, and laid out as panels."""
