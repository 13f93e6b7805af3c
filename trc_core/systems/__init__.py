"""The plants: those that ship with `trc`, one file each, and a user's own."""

from trc_core.problem.system import Joint, Obstacle, System
from trc_core.systems.catalogue import SYSTEMS
from trc_core.systems.registry import get_system

__all__ = ['SYSTEMS', 'Joint', 'Obstacle', 'System', 'get_system']
