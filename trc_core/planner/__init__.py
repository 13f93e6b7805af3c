"""The plan call: `Controller`, its backends and its kernels."""
