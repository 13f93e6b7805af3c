"""Disturbances of a campaign: how each fault begins and ends, and what must come of it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from trc_core.systems import System
from trc_ros.lab.campaign import acts, evidence
from trc_ros.lab.campaign.contract import GOAL_TIMEOUT

if TYPE_CHECKING:
    from trc_ros.lab.campaign.session import Session


class Effect(Enum):
    """Effect of a fault on the controller."""

    BLINDED = 'no valid state arrives: the fallback must fly'
    FLYING = 'valid states arrive: it goes on'
    REFUSED = 'the goal is refused: it goes on to the one before'
    REPORTED = 'it goes on, and diagnostics name the reason'
    UNGUIDED = 'no goal is confirmed any more: the fallback must fly'
    LANDED = 'it must land and end with code 0'
    KILLED = 'nothing: its process is gone'


GOES_ON = (Effect.FLYING, Effect.REFUSED, Effect.REPORTED)
FALLS_BACK = (Effect.BLINDED, Effect.UNGUIDED)
Act = Callable[['Session'], None]
End = Callable[['Session'], float]


@dataclass(frozen=True)
class Need:
    """What a system must have for a fault."""

    what: str
    is_met: Callable[[System], bool]


ANYTHING = Need('', lambda system: True)
ANGLE = Need('an angle that starts anywhere in a turn', acts.turns_over)
OBSTACLE = Need('an obstacle', lambda system: bool(system.obstacles))


@dataclass(frozen=True)
class Disturbance:
    """A fault."""

    summary: str
    effect: Effect
    begin: Act
    end: End
    """Returns when it ended [s since the epoch]."""
    prepare: Act = acts.nothing
    """Called before the flight that the fault disturbs, when that has been drawn."""
    is_due: Callable[[Session], bool] = acts.at_once
    """Whether it may begin; it is waited for."""
    restore: Act = acts.nothing
    """Called after the flight."""
    evidence: evidence.Evidence = evidence.none_needed
    """What else must be seen in the recording."""
    needs: Need = ANYTHING


def applicable(system: System) -> list[str]:
    """The faults that a system can be flown through."""
    return [name for name, d in DISTURBANCES.items() if d.needs.is_met(system)]


def require_applicable(fault: str, system: System) -> None:
    """Checks that a system can be flown through a fault.

    Raises:
        ValueError: if it lacks something.
    """
    needs = DISTURBANCES[fault].needs
    if not needs.is_met(system):
        raise ValueError(
            f"the fault '{fault}' needs a system with {needs.what}, {system.name} has none"
        )


PLANT_FAULTS = {
    'dropout': ('no state', Effect.BLINDED),
    'nan': ('a NaN in every state', Effect.BLINDED),
    'wrong_size': ('numbers are missing in every state', Effect.BLINDED),
    'duplicated_names': ('a joint is there twice', Effect.BLINDED),
    'clock_jump_back': ('stamps of 5 s ago', Effect.BLINDED),
    'late': ('every state half a second after its stamp', Effect.BLINDED),
    'frozen': ('the same state under new stamps', Effect.FLYING),
}
"""Summary and effect of each fault of the plant that needs nothing else."""


def of_the_plant(name: str, summary: str, effect: Effect) -> Disturbance:
    """A fault that the plant injects itself."""
    prepare = functools.partial(acts.name_fault, name)
    return Disturbance(summary, effect, acts.inject, acts.clear, prepare)


def on_topic(summary: str, kind: str, topic: str, rate: float) -> Disturbance:
    """A participant that publishes on a topic, about the state in which the flight began."""

    def begin(session: Session) -> None:
        session.start_injector(kind, topic, rate, session.x)

    return Disturbance(summary, Effect.FLYING, begin, acts.stop_injector)


def in_a_goal(summary: str, send: Act, reason: str) -> Disturbance:
    """A goal that must be refused."""
    effect, shown = Effect.REFUSED, evidence.refused(reason)
    return Disturbance(summary, effect, send, acts.send_goal_again, evidence=shown)


DISTURBANCES: dict[str, Disturbance] = {
    **{name: of_the_plant(name, *about) for name, about in PLANT_FAULTS.items()},
    'kill_plant': Disturbance(
        'kill -9 of the plant, then a new one',
        Effect.BLINDED,
        acts.kill_plant,
        acts.restart_plant,
    ),
    'kill_controller': Disturbance(
        'kill -9 of the controller, then a new one',
        Effect.KILLED,
        acts.kill_controller,
        acts.restart_controller,
    ),
    'wrong_type_state': on_topic(
        f"{acts.MISTAKE_RATE:.0f} Hz of Float64MultiArray on 'state' beside the plant",
        *('wrong_type', 'state', acts.MISTAKE_RATE),
    ),
    'wrong_type_goal': on_topic(
        f"{acts.MISTAKE_RATE:.0f} Hz of Float64MultiArray on 'goal'",
        *('wrong_type', 'goal', acts.MISTAKE_RATE),
    ),
    'flood': on_topic(
        f"{acts.FLOOD_RATE:.0f} Hz of one valid state on 'state' beside the plant",
        *('flood', 'state', acts.FLOOD_RATE),
    ),
    'far_goal': in_a_goal(
        f'a goal {acts.FAR:g} times outside the box', acts.send_far_goal, 'out_of_range'
    ),
    'nan_goal': in_a_goal('a goal of NaN', acts.send_nan_goal, 'not_finite'),
    # New ones at the end: the random numbers of a flight depend on its place.
    'foreign_frame': in_a_goal(
        f"a goal in the frame '{acts.FOREIGN_FRAME}'", acts.send_foreign_goal, 'frame'
    ),
    'wrapped_angle': Disturbance(
        'angles within half a turn of zero, while the plant turns beyond',
        Effect.FLYING,
        acts.inject,
        acts.clear,
        functools.partial(acts.turn_beyond, 'wrapped_angle'),
        acts.is_beyond,
        evidence=evidence.turns_counted,
        needs=ANGLE,
    ),
    'partial_joint_states': of_the_plant(
        'partial_joint_states',
        "every joint in a message of its own, among joints that are not the system's",
        Effect.FLYING,
    ),
    'two_drivers': Disturbance(
        "joints that are not the system's on 'state', 0.2, 1.2, ... ms after every valid state",
        Effect.FLYING,
        acts.start_second_driver,
        acts.stop_injector,
        acts.open_second_driver,
    ),
    'second_controller': Disturbance(
        f"{acts.MISTAKE_RATE:.0f} Hz of one opposite command on 'command' beside the controller",
        Effect.REPORTED,
        acts.oppose,
        acts.stop_injector,
        evidence=evidence.rival_named,
    ),
    'sighup': Disturbance(
        'SIGHUP to the controller (its terminal is gone), then a new one',
        Effect.LANDED,
        acts.hang_up,
        acts.restart_controller,
        evidence=evidence.landed,
    ),
    'reference_stops': Disturbance(
        f'no more of the references that came at {acts.REFERENCE_RATE:.0f} Hz, with a '
        f'goal_timeout of {GOAL_TIMEOUT:g} s',
        Effect.UNGUIDED,
        acts.stop_references,
        acts.resume_references,
        acts.stream_references_that_age,
        restore=acts.stop_for_good,
        evidence=evidence.goal_stale,
    ),
    'reference_ends': Disturbance(
        f'no more of the references that came at {acts.REFERENCE_RATE:.0f} Hz: it must rest at '
        'the end of the last one',
        Effect.FLYING,
        acts.stop_references,
        acts.resume_references,
        acts.stream_references,
        restore=acts.stop_for_good,
        evidence=evidence.rested,
    ),
    'obstacle_in_state': Disturbance(
        'an obstacle where the plant is, on the parameters of the controller',
        Effect.REPORTED,
        acts.place_obstacle,
        acts.remove_obstacle,
        evidence=evidence.constraint_named,
        needs=OBSTACLE,
    ),
}
