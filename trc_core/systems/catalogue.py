"""The catalogue of shipped systems, by name; the file of each is read when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import TypeVar

from trc_core.problem.system import System
from trc_core.systems.shipped import ShippedSystem

Entry = TypeVar('Entry')
TEXTBOOK = (
    'double_integrator',
    'van_der_pol',
    'cartpole',
    'quadrotor_2d',
    'pendulum',
    'cartpole_swingup',
)
SPATIAL = ('quadrotor', 'quadrotor_flip')
CONSTRAINED = ('bicycle_circles', 'arm')
TIMED = ('rocket_landing',)


class Catalogue(Mapping[str, Entry]):
    """What is made from the files of shipped systems, when it is asked for.

    Args:
        names: of the systems, which are the names of their files.
        made: makes an entry from what a file holds.
    """

    def __init__(self, names: tuple[str, ...], made: Callable[[ShippedSystem], Entry]) -> None:
        self._names, self._made = names, made

    def __getitem__(self, name: str) -> Entry:
        if name not in self._names:
            raise KeyError(name)
        return self._made(import_module(f'trc_core.systems.{name}').shipped)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names  # without a look into the file


SHIPPED: Mapping[str, ShippedSystem] = Catalogue(
    TEXTBOOK + SPATIAL + CONSTRAINED + TIMED, lambda shipped: shipped
)
"""All shipped systems, with their recipes and drawings."""
SYSTEMS: Mapping[str, System] = Catalogue(TEXTBOOK, lambda shipped: shipped.system)
"""The textbook plants, which have bounds on their controls and no other constraints;
`get_system` knows all shipped systems."""


def shipped_as(system: System) -> ShippedSystem | None:
    """What ships for a system of this name and with these states; None where nothing does.

    A system from a file, a checkpoint or a bag counts as well: it is not compared any further.
    """
    known = SHIPPED.get(system.name)
    if known is None or known.system.state_names != system.state_names:
        return None
    return known
