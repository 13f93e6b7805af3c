"""Numbers that kernels share with PyTorch."""

NEWTON_CLAMP = 4.0  # largest Newton step that a network adds to its own, in units of s
