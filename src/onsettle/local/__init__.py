"""The local stack: embedded PostgreSQL, a local chain, the demo."""
