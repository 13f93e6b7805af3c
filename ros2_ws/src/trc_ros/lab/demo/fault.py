"""`trc demo --fault NAME`: a fault in the middle of a flight, and the picture of the recovery."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from trc_core.systems import System
from trc_ros.lab.campaign.contract import Contract
from trc_ros.lab.campaign.figure import draw_recovery
from trc_ros.lab.campaign.runner import lqr_plan_of
from trc_ros.lab.campaign.session import open_session
from trc_ros.lab.campaign.verdict import Verdict, judge

FREQUENCY = 50.0  # [Hz]
MARGIN = 1.0  # [s] that a safe command may be late: the machine is not judged here
DURATION = 1.5  # [s] of the fault
AFTERWARDS = 2.0  # [s] that the flight goes on after the recovery


def fly_through(system: System, fault: str, fallback: str, seed: int, path: Path) -> Verdict:
    """Flies a system through a fault, draws it to `path` (PNG) and judges it.

    Raises:
        NodeError: if a node ends by itself or does not start.
    """
    contract = Contract(system, FREQUENCY, fallback, MARGIN)
    rng = np.random.default_rng(seed)
    with open_session(contract, rng) as session:
        trial = session.fly(fault, DURATION, rng, AFTERWARDS)
    draw_recovery(trial, contract, path)
    return judge(trial, contract, lqr_plan_of(contract))


def sentence(system: System, verdict: Verdict) -> str:
    """Outcome of the flight in one line."""
    times = [
        'never' if seconds is None else f'{1e3 * seconds:.0f} ms after {moment}'
        for seconds, moment in (
            (verdict.safe_after, 'the fault began'),
            (verdict.recovered_after, 'it ended'),
        )
    ]
    checked = f'{verdict.commands} commands and {verdict.horizons} horizons checked'
    return f'{system.name}: safe {times[0]}, recovered {times[1]}; {checked}'
