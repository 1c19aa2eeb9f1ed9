"""The benchmark: the product as shipped, a real database, a real chain, real signatures."""
