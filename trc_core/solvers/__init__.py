"""The experts: each module offers `solve(system, x0, goal) -> Plan`."""
