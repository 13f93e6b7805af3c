"""Readers of the expression graph: machine code, NumPy, PyTorch and CasADi."""
