"""One control cycle on a robot: pilot, safety monitor, limits, delay, adaptation."""
