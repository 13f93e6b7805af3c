"""Tiny Recursive Control: a tiny network that refines optimal control plans."""

from trc_core.plan import Plan
from trc_core.runtime.controller import Controller
from trc_core.systems import SYSTEMS, System, get_system

__all__ = ['SYSTEMS', 'Controller', 'Plan', 'System', 'get_system']
