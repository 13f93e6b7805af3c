"""Cost, roll-outs, gradients, Riccati recursion and box-iLQR, as kernels."""
