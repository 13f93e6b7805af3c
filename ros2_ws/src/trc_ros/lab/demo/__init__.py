"""`trc demo`: the closed loop over DDS with figures, a bag and a table."""
