"""Tiny Recursive Control: a tiny network that refines optimal control plans."""

from trc_core.numerics.plan import Plan
from trc_core.planner.controller import Controller
from trc_core.problem.places import Norm
from trc_core.systems import SYSTEMS, Joint, Obstacle, System, get_system

__all__ = ['SYSTEMS', 'Controller', 'Joint', 'Norm', 'Obstacle', 'Plan', 'System', 'get_system']
