"""Checks that say what is wrong with a set-up, and what to do. They change nothing."""
