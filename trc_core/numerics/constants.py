"""Numbers that kernels share with PyTorch."""

NEWTON_CLAMP = 4.0  # largest Newton step that a network adds to its own, in units of s
# of what is read in a canonical frame (`canonical.py`)
MEMBER = 12  # features of an obstacle
PAIR = 5  # features of two obstacles
NEAR = 0.01  # lengths are read on a logarithmic scale from here on, in units of the length
COINCIDE = 1e-6  # [m] start and goal this close have no direction
LEVEL = 1e-12  # sine of a heading below which it counts as neither left nor right
SOFT = 3.0  # numbers are read as SOFT tanh(number / SOFT): about themselves in [-1, 1], never more
PRESENT = 5e3  # [m], half of `system.FAR`: an obstacle that is further from the start is not there
