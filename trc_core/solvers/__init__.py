"""Solvers of the optimal control problem; `experts` is the one table of them."""
