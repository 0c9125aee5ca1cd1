"""The sandbox exchange: a dataset told in the wire shapes of Kalshi's REST API and WebSocket."""
