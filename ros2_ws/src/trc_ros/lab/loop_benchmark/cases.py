"""Cases of `trc benchmark-loop`: a system at a rate."""

from __future__ import annotations

from dataclasses import dataclass

from trc_core import SYSTEMS

FIFO_PRIORITY = 80  # of the control loop; above that of the process that times its messages
REALTIME = {
    'realtime.sched_fifo_priority': FIFO_PRIORITY,
    'realtime.lock_memory': 'true',
    'realtime.disable_gc': 'true',
}
"""Parameters of a controller that is to be on time."""


@dataclass(frozen=True)
class Case:
    """One system at one rate.

    Raises:
        ValueError: if there is no such system, or the rate or `cycle_on` is none to choose from.
    """

    system: str
    frequency: float
    """Control cycles per second [Hz]."""
    cycle_on: str = 'clock'
    """What begins a cycle: 'clock' or 'state'."""

    def __post_init__(self) -> None:
        if self.system not in SYSTEMS:
            raise ValueError(f"unknown system '{self.system}'; choose from {sorted(SYSTEMS)}")
        if not 1.0 <= self.frequency <= 1000.0:
            raise ValueError(f'the rate is {self.frequency:g} Hz; choose from 1 to 1000')
        if self.cycle_on not in ('clock', 'state'):
            raise ValueError(f"a cycle begins on clock or state, not '{self.cycle_on}'")

    def __str__(self) -> str:
        return f'{self.system}:{self.frequency:g}' + ':state' * (self.cycle_on == 'state')

    @property
    def period(self) -> float:
        """Seconds between two cycles."""
        return 1.0 / self.frequency


def parse(text: str) -> Case:
    """A case from `SYSTEM:HZ` or `SYSTEM:HZ:state`.

    Raises:
        ValueError: if it is not of that form.
    """
    name, _, rest = text.partition(':')
    rate, *cycle_on = rest.split(':', 1)
    try:
        frequency = float(rate)
    except ValueError as error:
        raise ValueError(f"'{text}' is no case; write SYSTEM:HZ, like {DEFAULT[0]}") from error
    return Case(name, frequency, *cycle_on)


DEFAULT = (
    Case('double_integrator', 100.0),
    Case('double_integrator', 500.0),
    Case('van_der_pol', 100.0),
    Case('quadrotor_2d', 100.0),
    Case('van_der_pol', 100.0, 'state'),
)
