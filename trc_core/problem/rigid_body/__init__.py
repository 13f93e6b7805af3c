"""Rigid-body mechanics of a tree of joints on a fixed base, in any algebra.

What is written here runs on floats, and on the expressions of `problem.expression`, whose tape
then holds few instructions: the zeros and ones of a robot's frames disappear.
"""

from trc_core.problem.rigid_body.accelerations import accelerations
from trc_core.problem.rigid_body.base_frame import inverse_dynamics
from trc_core.problem.rigid_body.places import orientation, position
from trc_core.problem.rigid_body.slopes import Slopes, slopes
from trc_core.problem.rigid_body.tree import GRAVITY, Point, Tree

__all__ = [
    'GRAVITY',
    'Point',
    'Slopes',
    'Tree',
    'accelerations',
    'inverse_dynamics',
    'orientation',
    'position',
    'slopes',
]
