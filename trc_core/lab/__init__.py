"""What only measures: benchmarks, experiments and reports; nothing in the product imports it."""
