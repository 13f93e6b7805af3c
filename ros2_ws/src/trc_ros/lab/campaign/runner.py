"""Runner of a campaign: one session of both nodes for each fallback mode."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from trc_core import Controller, provenance
from trc_core.flight.safety import FALLBACKS
from trc_core.lab.benchmark.environment import CLASSES
from trc_core.problem.system import Array
from trc_core.progress import progress_bar
from trc_ros.lab.campaign.contract import Contract
from trc_ros.lab.campaign.disturbances import DISTURBANCES
from trc_ros.lab.campaign.fallbacks import LqrPlan
from trc_ros.lab.campaign.session import Session, open_session
from trc_ros.lab.campaign.store import Store
from trc_ros.lab.campaign.trial import Trial
from trc_ros.lab.campaign.verdict import Verdict, judge
from trc_ros.lab.children import NodeError

MACHINE = ('date', 'CPU', 'cores', 'kernel', 'python', 'trc')


def fly_campaign(
    contracts: Sequence[Contract],
    faults: Sequence[str],
    duration: float,
    seed: int,
    store: Store,
) -> None:
    """Flies every fault under every contract that `store` has no verdict on, and adds them.

    Raises:
        NodeError: if the nodes do not start.
    """
    lqr = lqr_plan_of(contracts[0])
    wanted = [(contract, fault) for contract in contracts for fault in faults]
    open_ = [(c, fault) for c, fault in wanted if (c.fallback, fault) not in store.verdicts]
    with progress_bar(total=len(wanted), initial=len(wanted) - len(open_)) as bar:
        for contract in contracts:
            pending = [fault for c, fault in open_ if c is contract]
            while pending:
                fly_session(contract, pending, duration, seed, lqr, store, bar)


def fly_session(
    contract: Contract,
    pending: list[str],
    duration: float,
    seed: int,
    lqr: LqrPlan,
    store: Store,
    bar: Any,
) -> None:
    """Flies faults until none is left, or a process has ended that was not killed."""
    bar.set_description(f'{contract.fallback}: starting')
    with open_session(contract, np.random.default_rng(seed)) as session:
        if 'CPU' not in store.origin:
            store.origin |= machine(session)
            bar.write(', '.join(f'{name} {text}' for name, text in store.origin.items()))
        while pending:
            fault = pending.pop(0)
            bar.set_description(f'{contract.fallback}: {fault}')
            try:
                trial = fly(session, fault, duration, seed)
                verdict = judge(trial, contract, lqr)
            except NodeError as error:
                verdict = Verdict(fault, contract.fallback, problems=(str(error),))
            store.add(verdict)
            bar.update()
            if verdict.recovered_after is None:
                return
        store.landings[contract.fallback] = end(session)
        store.write()


def fly(session: Session, fault: str, duration: float, seed: int) -> Trial:
    """Flies one fault, whose random numbers depend on nothing flown before."""
    place = (list(FALLBACKS).index(session.contract.fallback), list(DISTURBANCES).index(fault))
    return session.fly(fault, duration, np.random.default_rng((seed, *place)))


def end(session: Session) -> list[str]:
    """Ends both processes; returns the problems found."""
    contract = session.contract
    codes, last = session.end()
    problems = [f'{name} ended with code {code}' for name, code in codes.items() if code]
    expected = contract.final_command
    if expected is None:
        return problems
    if last is None or not np.allclose(last, expected):
        problems.append(f'the last command was {shown(last)}, expected {shown(expected)}')
    return problems


def shown(control: Array | None) -> str:
    """A control as text."""
    return 'none' if control is None else str(control.tolist())


def lqr_plan_of(contract: Contract) -> LqrPlan:
    """The LQR that the controller falls back to."""
    controller = Controller.load(contract.model, system=contract.system)
    controller.bounds = contract.low, contract.high
    return lambda x, goal: controller.lqr_plan(x, goal).controls


def machine(session: Session) -> dict[str, str]:
    """Machine that a campaign runs on, its load, and the controller's scheduling class."""
    found = provenance.describe()
    policy = os.sched_getscheduler(session.nodes.pids['controller'])
    return {
        **{name: found[name] for name in MACHINE},
        'load before': provenance.load(),
        'scheduling': CLASSES.get(policy, 'unknown'),
    }
