"""Disturbances of a campaign: how each fault begins and ends, and its effect."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trc_ros.lab.campaign.session import Session

FAR = 10.0  # times the box of goals, or of initial states where goals have none
FLOOD_RATE = 10_000.0  # [Hz]
MISTAKE_RATE = 100.0  # [Hz] of messages of a wrong type


class Effect(Enum):
    """Effect of a fault on the controller."""

    BLINDED = 'no valid state arrives: the fallback must fly'
    FLYING = 'valid states arrive: it goes on'
    KILLED = 'nothing: its process is gone'


Act = Callable[['Session'], None]
End = Callable[['Session'], float]


def nothing(session: Session) -> None:
    """No preparation."""


@dataclass(frozen=True)
class Disturbance:
    """A fault."""

    summary: str
    effect: Effect
    begin: Act
    end: End
    """Returns when it ended [s since the epoch]."""
    prepare: Act = nothing
    """Called before the flight that the fault disturbs."""


def name_fault(name: str, session: Session) -> None:
    """Selects the fault that the service of the plant injects; setting it injects it at once."""
    session.operator.set_plant(fault=name, fault_duration=0.0)
    session.operator.inject_fault(False)


def inject(session: Session) -> None:
    """Asks the plant for the fault."""
    session.operator.inject_fault(True)


def clear(session: Session) -> float:
    """Asks the plant for the end of the fault."""
    now = time.time()
    session.operator.inject_fault(False)
    return now


def kill_plant(session: Session) -> None:
    """Ends the plant with SIGKILL."""
    session.nodes.kill('plant')


def restart_plant(session: Session) -> float:
    """Starts the plant again; the fault ends with its first state that is heard."""
    began = time.time()
    session.restart_plant()
    return session.first_state(began)


def kill_controller(session: Session) -> None:
    """Ends the controller with SIGKILL."""
    session.nodes.kill('controller')


def restart_controller(session: Session) -> float:
    """Starts the controller again; the fault ends as the process starts."""
    now = time.time()
    session.nodes.spawn('controller')
    return now


def stop_injector(session: Session) -> float:
    """Ends the publication of faulty messages."""
    now = time.time()
    session.stop_injector()
    return now


def send_far_goal(session: Session) -> None:
    """Asks for a goal far outside the box."""
    session.operator.send_goal(FAR * session.goal_range)


def send_nan_goal(session: Session) -> None:
    """Asks for a goal that is not a number."""
    session.operator.send_goal(float('nan') * session.goal_range)


def send_goal_again(session: Session) -> float:
    """Asks for the right goal."""
    now = time.time()
    session.operator.send_goal(session.goal)
    return now


PLANT_FAULTS = {
    'dropout': ('no state', Effect.BLINDED),
    'nan': ('a NaN in every state', Effect.BLINDED),
    'wrong_size': ('numbers are missing in every state', Effect.BLINDED),
    'duplicated_names': ('a joint is there twice', Effect.BLINDED),
    'clock_jump_back': ('stamps of 5 s ago', Effect.BLINDED),
    'late': ('every state half a second after its stamp', Effect.BLINDED),
    'frozen': ('the same state under new stamps', Effect.FLYING),
}
"""Summary and effect of each fault of the plant."""

DISTURBANCES: dict[str, Disturbance] = {
    **{
        name: Disturbance(summary, effect, inject, clear, functools.partial(name_fault, name))
        for name, (summary, effect) in PLANT_FAULTS.items()
    },
    'kill_plant': Disturbance(
        'kill -9 of the plant, then a new one', Effect.BLINDED, kill_plant, restart_plant
    ),
    'kill_controller': Disturbance(
        'kill -9 of the controller, then a new one',
        Effect.KILLED,
        kill_controller,
        restart_controller,
    ),
    'wrong_type_state': Disturbance(
        f"{MISTAKE_RATE:.0f} Hz of Float64MultiArray on 'state' beside the plant",
        Effect.FLYING,
        lambda session: session.start_injector('wrong_type', 'state', MISTAKE_RATE),
        stop_injector,
    ),
    'wrong_type_goal': Disturbance(
        f"{MISTAKE_RATE:.0f} Hz of Float64MultiArray on 'goal'",
        Effect.FLYING,
        lambda session: session.start_injector('wrong_type', 'goal', MISTAKE_RATE),
        stop_injector,
    ),
    'flood': Disturbance(
        f"{FLOOD_RATE:.0f} Hz of one valid state on 'state' beside the plant",
        Effect.FLYING,
        lambda session: session.start_injector('flood', 'state', FLOOD_RATE),
        stop_injector,
    ),
    'far_goal': Disturbance(
        f'a goal {FAR:g} times outside the box', Effect.FLYING, send_far_goal, send_goal_again
    ),
    'nan_goal': Disturbance('a goal of NaN', Effect.FLYING, send_nan_goal, send_goal_again),
}
