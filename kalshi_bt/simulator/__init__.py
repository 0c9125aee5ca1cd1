"""Intents in, orders and fills out."""
