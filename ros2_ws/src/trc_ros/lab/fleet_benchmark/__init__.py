"""`trc benchmark-fleet`: how many robots one process can fly."""
