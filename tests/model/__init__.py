"""A small chain and a small engine around the product's own decisions, for stateful tests."""
