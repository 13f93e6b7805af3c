"""The plants: those that ship with `trc`, one file each, and a user's own."""

from trc_core.problem.system import Joint, System
from trc_core.systems.registry import SYSTEMS, get_system

__all__ = ['SYSTEMS', 'Joint', 'System', 'get_system']
