"""PostgreSQL: the one store and the one coordinator."""
