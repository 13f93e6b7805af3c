"""Solvers of others on our problems and our RK4 step, timed beside ours (`trc benchmark`)."""
