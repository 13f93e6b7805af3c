"""The former place of `from_state_space`, kept for programs of version 1."""

from trc_core.problem.linear import from_state_space

__all__ = ['from_state_space']
