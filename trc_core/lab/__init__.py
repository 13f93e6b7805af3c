"""Benchmarks, experiments and reports, which only measure; the product does without them."""
