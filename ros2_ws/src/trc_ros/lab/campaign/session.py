"""Session of a fault campaign: trials flown with both nodes in one fallback mode."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from rclpy.logging import LoggingSeverity
from rclpy.node import Node

from trc_core.problem.system import Array
from trc_ros.conversions import ANYWHERE, frame_of, seconds_of
from trc_ros.exclusive_publisher import WATCH_TIME
from trc_ros.lab.campaign.contract import Contract
from trc_ros.lab.campaign.disturbances import DISTURBANCES
from trc_ros.lab.campaign.fault_injector import TopicFaultInjector
from trc_ros.lab.campaign.trial import Exit, Trial
from trc_ros.lab.campaign.verdict import is_well
from trc_ros.lab.recording import (
    TOPICS,
    Recorder,
    diagnosis_of,
    read_commands,
    read_diagnoses,
    read_horizons,
    read_states,
)
from trc_ros.lab.two_nodes import TwoNodes

RESTART_TIME = 60.0  # [s] for a plant that was killed
WATCH_MARGIN = 1.0  # [s] after which a plant has ceased to watch for a second publisher
RECOVERY_TIME = 60.0  # [s] after it, a controller has not recovered
FLIGHT_TIME = (0.3, 0.5)  # [s] before a fault begins, drawn at random
AFTERWARDS = 0.3  # [s] that are recorded after a recovery


@contextlib.contextmanager
def open_session(contract: Contract, rng: np.random.Generator) -> Iterator[Session]:
    """Starts both nodes for trials, and ends them.

    Args:
        contract: what the controller is started with.
        rng: draws the initial state that the plant is started in.
    """
    x0, _ = contract.system.sample(rng, 1)
    plant = {'initial_state': x0[0].tolist()}
    with TwoNodes(contract.system, plant, contract.parameters(), _record) as nodes:
        session = Session(nodes, contract)
        try:
            yield session
        finally:
            session.stop_injector()


def _record(node: Node) -> Recorder:
    # That the recorder does not hear a flood is intended, and no news for a terminal.
    node.get_logger().set_level(LoggingSeverity.ERROR)
    return Recorder(node, reliable=TOPICS)


class Session:
    """Flies trials with both nodes.

    Args:
        nodes: at work.
        contract: what the controller was started with.
    """

    def __init__(self, nodes: TwoNodes[Recorder], contract: Contract) -> None:
        self.nodes = nodes
        self.operator, self.recorder = nodes.operator, nodes.recorder
        self.contract = contract
        self._injector: TopicFaultInjector | None = None
        self._note = ''
        self._exit: Exit | None = None
        self._plant_heard = time.time()  # at the latest: when a young plant published its state

    def fly(
        self,
        fault: str,
        duration: float,
        rng: np.random.Generator,
        afterwards: float = AFTERWARDS,
    ) -> Trial:
        """Flies towards a goal through a fault.

        Args:
            fault: a key of `DISTURBANCES`.
            duration: of the fault [s].
            rng: draws the initial state, the goal and the moment of the fault.
            afterwards: how long the flight goes on after a recovery [s].

        Raises:
            NodeError: if a process ends that was not killed, or the plant does not obey.
        """
        disturbance, operator = DISTURBANCES[fault], self.operator
        # Draw the flight; wait until the plant no longer gives way to a second publisher.
        x0, goals = self.contract.system.sample(rng, 1)
        self.x, self.goal, self._note, self._exit = x0[0], goals[0], '', None
        operator.spin_for(max(0.0, self._plant_heard + WATCH_TIME + WATCH_MARGIN - time.time()))
        disturbance.prepare(self)
        # Fly undisturbed for a while.
        self.recorder.forget()
        self._start_flight()
        operator.spin_for(rng.uniform(*FLIGHT_TIME))
        operator.wait(lambda: disturbance.is_due(self), RECOVERY_TIME)
        # Fly through the fault, then until plans are back.
        began = time.time()
        disturbance.begin(self)
        operator.spin_for(duration)
        ended = disturbance.end(self)
        operator.wait(lambda: self._flies_since(ended), RECOVERY_TIME)
        operator.spin_for(afterwards)
        trial = self._trial(fault, began, ended)
        disturbance.restore(self)
        return trial

    def end(self) -> tuple[dict[str, int], Array | None]:
        """Ends both with SIGINT; exit codes, and the final command (n_u,) if one was sent."""
        self.recorder.forget()
        codes = self.nodes.end()
        commands = read_commands(self.recorder, self.contract.system).values
        return codes, commands[-1] if len(commands) else None

    def restart_plant(self) -> None:
        """Starts a new plant where the flight began, and waits for its first state."""
        began = time.time()
        self.nodes.spawn('plant', initial_state=self.x.tolist())
        self.operator.wait_until(
            lambda: self.recorder.first('state', began) is not None,
            RESTART_TIME,
            'no state from the new plant',
        )
        self._plant_heard = time.time()

    def end_controller(self, number: int) -> None:
        """Ends the controller by a signal, and waits for its end."""
        code = self.nodes.end_by('controller', number)
        self._exit = Exit(time.time(), code)

    def open_injector(self, kind: str, topic: str, rate: float | None, value: Array) -> None:
        """Opens a `TopicFaultInjector`, which is silent, and waits until it would be heard."""
        injector = TopicFaultInjector(self.contract.system, kind, topic, rate, value)
        self._injector = injector
        self.operator.wait_until(
            lambda: injector.is_heard, RECOVERY_TIME, f"'{topic}' is not heard"
        )

    def start_injector(self, kind: str, topic: str, rate: float | None, value: Array) -> None:
        """Begins to publish on a topic what a `TopicFaultInjector` makes of a value."""
        if self._injector is None:
            system = self.contract.system
            self._injector = TopicFaultInjector(system, kind, topic, rate, value)
        self._injector.start()

    def stop_injector(self) -> Any:
        """Ends that, if it goes on; the message that was published last."""
        injector, self._injector = self._injector, None
        if injector is None:
            return None
        self._note = f'{injector.stop():.0f} Hz'
        return injector.latest

    def last_command(self) -> Array:
        """The newest command of the controller (n_u,)."""
        return read_commands(self.recorder, self.contract.system).values[-1]

    def last_state(self) -> Array:
        """The newest state of the plant (n_x,)."""
        return read_states(self.recorder, self.contract.system).values[-1]

    def last_place(self) -> tuple[float, float, float]:
        """Where the plant was seen last."""
        frame = frame_of(self.contract.system, ANYWHERE)
        place, _ = frame.pose(self.last_state().tolist())
        return place

    def first_state(self, since: float) -> float:
        """Time at which a state was first heard since then [s since the epoch], or infinity.

        The controller may find a new plant sooner than this process does: plans count too.
        """
        heard = self.recorder.first('state', since)
        horizons = read_horizons(self.recorder, self.contract.system)
        used = [horizon.start for horizon in horizons if horizon.start >= since]
        return min([math.inf if heard is None else heard, *used])

    def _start_flight(self) -> None:
        self.operator.send_goal(self.goal)
        self.operator.reset_plant(self.x)
        self._start = time.time()
        self.operator.wait_until(
            lambda: self._flies_since(self._start), RECOVERY_TIME, 'the controller did not fly'
        )

    def _flies_since(self, time: float) -> bool:
        """Whether a plan starts from a state since then, and diagnostics since then say so."""
        horizon = self.recorder.newest('controller/horizon', time)
        message = self.recorder.newest('/diagnostics', time)
        if horizon is None or message is None:
            return False
        diagnosis = diagnosis_of(time, message)
        planned = seconds_of(horizon.header.stamp) >= time
        return planned and diagnosis is not None and is_well(diagnosis)

    def _trial(self, fault: str, began: float, ended: float) -> Trial:
        system, recorder = self.contract.system, self.recorder
        return Trial(
            fault,
            self.contract.fallback,
            self.goal,
            began,
            ended,
            read_commands(recorder, system),
            read_horizons(recorder, system),
            read_diagnoses(recorder),
            read_states(recorder, system),
            tuple(t for t in self.nodes.spawned['controller'] if t >= self._start),
            self._note,
            self._exit,
        )
