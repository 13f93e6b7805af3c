"""Environments that others wrote, as plants for closed loops; each needs its own package."""
