"""Acts of a campaign: how faults begin and end."""

from __future__ import annotations

import math
import signal
import time
from typing import TYPE_CHECKING

import numpy as np

from trc_core.planner.turns import turning_places
from trc_core.problem.system import Array
from trc_core.systems import System
from trc_ros.lab.campaign.contract import GOAL_TIMEOUT, goal_range

if TYPE_CHECKING:
    from trc_ros.lab.campaign.session import Session

FAR = 10.0  # times the box of goals, or of initial states where goals have none
FLOOD_RATE = 10_000.0  # [Hz]
MISTAKE_RATE = 100.0  # [Hz] of messages of a wrong type, and of a second controller
REFERENCE_RATE = 10.0  # [Hz] of a stream of references
SECOND_DRIVER = ('other_joints', 'state', None)  # after every state
FOREIGN_FRAME = 'another_frame'
FORCE = 0.5  # of the limits, of a second controller
RADIUS = 0.9  # [m] of an obstacle
BEFORE_HALF_A_TURN = 0.05  # [rad] where the angles of a flight begin that goes beyond


def nothing(session: Session) -> None:
    """No preparation."""


# Faults of the plant.


def name_fault(name: str, session: Session) -> None:
    """Selects the fault that the service of the plant injects; setting it injects it at once."""
    session.operator.set_plant(fault=name, fault_duration=0.0)
    session.operator.inject_fault(False)


def turn_beyond(name: str, session: Session) -> None:
    """Selects the fault, and begins the flight with angles that go beyond half a turn."""
    name_fault(name, session)
    system = session.contract.system
    speeds = {joint.position: joint.velocity for joint in system.joints}
    for place in turning_places(system):
        session.x[place] = math.pi - BEFORE_HALF_A_TURN
        speed = speeds[place]
        if speed is not None:
            session.x[speed] = system.x0_box[speed]


def is_beyond(session: Session) -> bool:
    """Whether every angle is a little beyond half a turn."""
    places = list(turning_places(session.contract.system))
    return bool((session.last_state()[places] > math.pi + BEFORE_HALF_A_TURN).all())


def turns_over(system: System) -> bool:
    """Whether a system has an angle that starts anywhere in a turn."""
    places = list(turning_places(system))
    return bool(places) and bool((system.x0_box[places] > math.pi - BEFORE_HALF_A_TURN).all())


def at_once(session: Session) -> bool:
    """Whether the fault may begin: at any time."""
    return True


def inject(session: Session) -> None:
    """Asks the plant for the fault."""
    session.operator.inject_fault(True)


def clear(session: Session) -> float:
    """Asks the plant for the end of the fault."""
    now = time.time()
    session.operator.inject_fault(False)
    return now


# Faults of a process.


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


def hang_up(session: Session) -> None:
    """Tells the controller that its terminal is gone, and waits for its end."""
    session.end_controller(signal.SIGHUP)


def restart_controller(session: Session) -> float:
    """Starts the controller again; the fault ends as the process starts."""
    now = time.time()
    session.nodes.spawn('controller')
    return now


# Faults on a topic.


def stop_injector(session: Session) -> float:
    """Ends the publication of faulty messages."""
    now = time.time()
    session.stop_injector()
    return now


def oppose(session: Session) -> None:
    """Begins to send one command, to the other side of where the last one pushes."""
    contract = session.contract
    trim = contract.system.u_trim
    corner = np.where(session.last_command() > trim, contract.low, contract.high)
    rival = ('foreign_command', 'command', MISTAKE_RATE, trim + FORCE * (corner - trim))
    session.open_injector(*rival)
    session.start_injector(*rival)


def open_second_driver(session: Session) -> None:
    """Opens the second publisher of states, which is silent."""
    session.open_injector(*SECOND_DRIVER, session.x)


def start_second_driver(session: Session) -> None:
    """Begins to send other joints right behind every state."""
    session.start_injector(*SECOND_DRIVER, session.x)


# Faults in a goal.


def send_far_goal(session: Session) -> None:
    """Asks for a goal far outside the box."""
    session.operator.send_goal(FAR * goal_range(session.contract.system))


def send_nan_goal(session: Session) -> None:
    """Asks for a goal that is not a number."""
    session.operator.send_goal(np.full(session.contract.system.n_x, math.nan))


def send_foreign_goal(session: Session) -> None:
    """Asks for another goal, whose numbers are those of another frame."""
    system = session.contract.system
    goal = session.goal + 0.5 * goal_range(system) * (np.arange(system.n_x) == 0)
    session.operator.send_goal(goal, FOREIGN_FRAME)


def send_goal_again(session: Session) -> float:
    """Asks for the right goal."""
    now = time.time()
    session.operator.send_goal(session.goal)
    return now


# Faults of a reference.


def stream_references(session: Session) -> None:
    """Begins to send a moving reference, again and again."""
    session.open_injector(*_stream_of(session))
    session.start_injector(*_stream_of(session))


def _stream_of(session: Session) -> tuple[str, str, float, Array]:
    return 'moving_reference', 'controller/reference', REFERENCE_RATE, session.goal


def stream_references_that_age(session: Session) -> None:
    """The same, and the controller is told when one is too old."""
    session.operator.set_parameters('controller', {'goal_timeout': GOAL_TIMEOUT})
    stream_references(session)


def stop_references(session: Session) -> None:
    """Sends no more references; from now on the end of the last one is the goal."""
    last = session.stop_injector()
    if last is not None:
        session.goal = end_of(last, session.goal)


def end_of(reference: object, goal: Array) -> Array:
    """The last point of a reference around goal (n_x,)."""
    end = goal.copy()
    end[0] = reference.points[-1].positions[0]
    return end


def resume_references(session: Session) -> float:
    """Sends references again, from a participant that has been discovered."""
    session.open_injector(*_stream_of(session))
    now = time.time()
    session.start_injector(*_stream_of(session))
    return now


def stop_for_good(session: Session) -> None:
    """Ends the references, and lets goals hold for ever again."""
    session.stop_injector()
    session.operator.set_parameters('controller', {'goal_timeout': 0.0})


# Faults of the surroundings.


def place_obstacle(session: Session) -> None:
    """Tells the controller of an obstacle where the plant is."""
    obstacle = session.contract.system.obstacles[0]
    names = (obstacle.x, obstacle.y, obstacle.z)
    numbers = dict(zip(names, session.last_place(), strict=True)) | {obstacle.radius: RADIUS}
    session.operator.send_parameters({n: v for n, v in numbers.items() if n is not None})


def remove_obstacle(session: Session) -> float:
    """Tells the controller that the obstacle is gone."""
    now = time.time()
    system = session.contract.system
    names = [name for name in system.obstacles[0] if name is not None]
    session.operator.send_parameters({name: system.parameters[name] for name in names})
    return now
