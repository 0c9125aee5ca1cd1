"""The sandbox exchange: a dataset answered in the wire shapes of Kalshi's REST API."""
