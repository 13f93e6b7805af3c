"""What the classical controller tries: its starts and its sweeps, for whoever compares with it."""

LADDER = (1.0, 10.0)  # factors of R of the LQRs that it starts from
STARTS, START_SWEEPS = 3, 12  # the best starts, and the sweeps before the best of them goes on
FIRST_SWEEPS = 60  # at most, of a plan that nothing came before
