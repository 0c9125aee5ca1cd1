"""Real time: a sandbox exchange to run against."""
