"""`trc faults`: every fault against every fallback, with real nodes over real DDS."""
