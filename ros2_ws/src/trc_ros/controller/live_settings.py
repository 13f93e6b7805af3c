"""Live settings: the parameters of a controller that may change while it flies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trc_core import Controller
from trc_core.flight.goal_range import trained_goals
from trc_core.flight.limits import CommandLimits
from trc_core.flight.progress import tolerance_of
from trc_core.flight.ranges import StateBox
from trc_core.flight.safety import require_fallback
from trc_core.flight.settings import Settings, weights_of
from trc_core.problem.system import Array
from trc_ros.conversions import joints_of


@dataclass(frozen=True, eq=False)
class LiveSettings:
    """Immutable settings, replaced as a whole: no cycle sees half of a change."""

    settings: Settings
    publish_horizon: bool
    publish_joint_trajectory: bool
    state_limits: StateBox | None
    """Box that states must lie in; None where nobody asks for one."""
    goal_limits: StateBox
    """What goals must lie in."""
    goal_tolerance: Array
    """Largest errors (n_x,) with which a goal counts as reached."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """The parameters that they were made from, by name."""

    @classmethod
    def from_parameters(cls, values: Mapping[str, Any], controller: Controller) -> LiveSettings:
        """Makes the settings from the parameters of a node by name.

        Raises:
            ValueError: if they do not fit the controller, its system or each other.
        """
        system = controller.system
        cycles = values['refinement_cycles']
        if values['publish_joint_trajectory'] and not joints_of(system):
            raise ValueError(
                f"'{system.name}' has no joints: leave publish_joint_trajectory false"
            )
        low, high, rate = (values[f'command_limits.{name}'] for name in ('min', 'max', 'rate'))
        weights = weights_of(system, *(values[f'weights.{name}'] for name in ('Q', 'R', 'Q_f')))
        if weights and not controller.adjustable:
            raise ValueError(
                f"the backend '{controller.backend}' plans with the weights of its system: "
                "leave weights.* out, or set backend to 'numba'"
            )
        if weights and system.final_time is not None:
            raise ValueError(f"'{system.name}' has plans of a free duration: leave weights.* out")
        require_fallback(values['fallback_mode'], system)
        settings = Settings(
            limits=CommandLimits.of(system, low, high, rate),
            state_timeout=values['state_timeout'],
            fallback_mode=values['fallback_mode'],
            goal_timeout=values['goal_timeout'],
            failure_tolerance=values['failure_tolerance'],
            cycles=None if cycles < 0 else cycles,
            tolerance=values['early_exit_tolerance'],
            warm_start=values['warm_start'],
            constraint_tolerance=values['constraint_tolerance'],
            weights=weights,
        )
        low, high = values['state_limits.min'], values['state_limits.max']
        box = StateBox.stated('state_limits', StateBox.unlimited(system), low, high)
        goals = StateBox.stated(
            'goal_limits',
            trained_goals(system),
            values['goal_limits.min'],
            values['goal_limits.max'],
        )
        return cls(
            settings,
            values['publish_horizon'],
            values['publish_joint_trajectory'],
            box if low or high else None,
            goals,
            tolerance_of(system, values['goal_tolerance']),
            values,
        )
