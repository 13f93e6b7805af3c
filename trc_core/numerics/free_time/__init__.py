"""Interior-point differential dynamic programming of problems whose duration is free."""
