"""The audit: what the books say, compared with what the chain says. Changes nothing."""
