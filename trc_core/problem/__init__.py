"""The problem: plant and task, stated once."""
