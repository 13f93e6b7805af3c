"""Controller and plant as two processes in one fallback mode, and the trials flown with them."""

from __future__ import annotations

import contextlib
import math
import time
from types import TracebackType

import numpy as np
from rclpy.logging import LoggingSeverity
from rclpy.node import Node

from trc_core.problem.system import Array
from trc_ros.conversions import seconds_of
from trc_ros.lab.campaign.contract import Contract
from trc_ros.lab.campaign.disturbances import DISTURBANCES
from trc_ros.lab.campaign.intruder import Intruder
from trc_ros.lab.campaign.trial import Trial
from trc_ros.lab.campaign.verdict import ACTIVE
from trc_ros.lab.children import Child, node_command
from trc_ros.lab.recording import (
    WITHOUT_LOSS,
    Recorder,
    read_commands,
    read_horizons,
    read_safety_states,
    read_states,
    status_values,
)
from trc_ros.lab.tower import Tower
from trc_ros.rivals import WATCH_TIME

STARTUP_TIME = 240.0  # [s] the first start on a machine compiles the model
RECOVERY_TIME = 60.0  # [s] after it, a controller has not recovered
FLIGHT_TIME = (0.3, 0.5)  # [s] before a fault begins, drawn at random
AFTERWARDS = 0.3  # [s] that are recorded after a recovery
FAREWELL_TIME = 0.3  # [s] for the last messages to arrive


class Session:
    """Both processes and the far end of their topics, within a `with` block.

    Args:
        contract: what the controller is started with.
        rng: draws the initial state that the plant is started in.
    """

    def __init__(self, contract: Contract, rng: np.random.Generator) -> None:
        self.contract = contract
        self._children: dict[str, Child] = {}
        self._births: list[float] = []
        self._intruder: Intruder | None = None
        self._note = ''
        self._plant_start = 0.0
        self._draw(rng)

    def __enter__(self) -> Session:
        with contextlib.ExitStack() as stack:
            self._node = Node('campaign', namespace=self.contract.system.name)
            stack.callback(self._node.destroy_node)
            # That the recorder does not hear a flood is intended, and no news for a terminal.
            self._node.get_logger().set_level(LoggingSeverity.ERROR)
            self.recorder = Recorder(self._node, qos=WITHOUT_LOSS)
            self.tower = Tower(self._node, self._children)
            stack.callback(self.tower.close)
            self._stack = stack
            self.start('plant')
            self.start('controller')
            self._wait_until_connected()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._intruder is not None:
            self.stop_intruder()
        self._stack.close()

    @property
    def goal_range(self) -> Array:
        """(n_x,): the box of goals, that of initial states where goals have none."""
        system = self.contract.system
        return np.where(system.goal_box > 0, system.goal_box, system.x0_box)

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
        disturbance = DISTURBANCES[fault]
        self._draw(rng)
        # A young plant gives way to anybody else on `state`, an intruder too.
        self.tower.spin_for(max(0.0, self._plant_start + WATCH_TIME - time.monotonic()))
        disturbance.prepare(self)
        self.recorder.forget()
        self._births.clear()
        self._note = ''
        self._take_off()
        self.tower.spin_for(rng.uniform(*FLIGHT_TIME))
        began = time.time()
        disturbance.begin(self)
        self.tower.spin_for(max(0.0, began + duration - time.time()))
        ended = disturbance.end(self)
        self.tower.wait(lambda: self._flies_since(ended), RECOVERY_TIME)
        self.tower.spin_for(afterwards)
        return self._trial(fault, began, ended)

    def land(self) -> tuple[dict[str, int], Array | None]:
        """Ends both with SIGINT; exit codes, and the last command (n_u,) if one was sent."""
        self.recorder.forget()
        codes = {}
        for name in ('controller', 'plant'):
            codes[name] = self._children.pop(name).end()
            self.tower.spin_for(FAREWELL_TIME)
        commands = read_commands(self.recorder, self.contract.system).values
        return codes, commands[-1] if len(commands) else None

    def start(self, name: str) -> None:
        """Starts a process."""
        overrides = {
            'plant': {'initial_state': self._x.tolist()},
            'controller': self.contract.parameters(),
        }[name]
        if name == 'controller':
            self._births.append(time.time())
        else:
            self._plant_start = time.monotonic()
        command = node_command(name, self.contract.system.name, overrides)
        self._children[name] = self._stack.enter_context(Child(command, name))

    def kill(self, name: str) -> None:
        """Ends a process with SIGKILL."""
        self._children.pop(name).kill()

    def send_goal(self, goal: Array) -> None:
        """Publishes a goal (n_x,)."""
        self.tower.send_goal(self.contract.system, goal)

    def start_intruder(self, kind: str, topic: str, rate: float) -> None:
        """Lets somebody else publish on a topic."""
        self._intruder = Intruder(self.contract.system, kind, topic, rate, self._x)

    def stop_intruder(self) -> None:
        """Ends that."""
        assert self._intruder is not None
        intruder, self._intruder = self._intruder, None
        self._note = f'{intruder.stop():.0f} Hz'

    def first_state(self, since: float) -> float:
        """When a state was first heard since then [s since the epoch]; infinite if none was.

        The controller may find a new plant sooner than this process does: plans count too.
        """
        heard = self.recorder.first('state', since)
        horizons = read_horizons(self.recorder, self.contract.system)
        used = [horizon.start for horizon in horizons if horizon.start >= since]
        return min([math.inf if heard is None else heard, *used])

    def pids(self) -> dict[str, int]:
        """The process ids by name."""
        return {name: child.pid for name, child in self._children.items()}

    def _draw(self, rng: np.random.Generator) -> None:
        x, goal = self.contract.system.sample(rng, 1)
        self._x, self.goal = x[0], goal[0]

    def _wait_until_connected(self) -> None:
        self.tower.wait_until(
            lambda: self.tower.is_connected() and self.recorder.hears('state', 'command'),
            STARTUP_TIME,
            'the nodes did not find each other',
        )

    def _take_off(self) -> None:
        self.send_goal(self.goal)
        self.tower.restart(self._x)
        began = time.time()
        self.tower.wait_until(
            lambda: self._flies_since(began), RECOVERY_TIME, 'the controller did not fly'
        )

    def _flies_since(self, time: float) -> bool:
        """Whether a plan starts from a state since then, and diagnostics since then say so."""
        horizon = self.recorder.newest('controller/horizon', time)
        diagnostics = self.recorder.newest('/diagnostics', time)
        if horizon is None or diagnostics is None:
            return False
        planned = seconds_of(horizon.header.stamp) >= time
        return planned and status_values(diagnostics, 'safety').get('state') == ACTIVE

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
            read_safety_states(recorder),
            read_states(recorder, system),
            tuple(self._births),
            self._note,
        )
