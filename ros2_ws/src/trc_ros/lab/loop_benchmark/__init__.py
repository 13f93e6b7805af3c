"""`trc benchmark-loop`: what the control loop costs and how well it keeps time over DDS."""
