"""`trc benchmark`: latency beside the price in cost, interleaved in one run with the baselines."""
