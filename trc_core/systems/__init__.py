"""The plants that ship with `trc`, one file each, and the table that names them."""

import re

from trc_core.systems.base import Joint, System
from trc_core.systems.double_integrator import double_integrator, multi_axis
from trc_core.systems.van_der_pol import van_der_pol

SYSTEMS: dict[str, System] = {system.name: system for system in (double_integrator, van_der_pol)}


def get_system(name: str) -> System:
    """The shipped system of this name, or `double_integrator_<n>_axes`.

    Raises:
        ValueError: if there is none; the message lists those that exist.
    """
    several_axes = re.fullmatch(r'double_integrator_(\d+)_axes', name)
    if several_axes:
        return multi_axis(int(several_axes[1]))
    if name not in SYSTEMS:
        raise ValueError(f"unknown system '{name}'; choose from {sorted(SYSTEMS)}")
    return SYSTEMS[name]


__all__ = ['SYSTEMS', 'Joint', 'System', 'get_system']
