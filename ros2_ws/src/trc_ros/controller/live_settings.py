"""Live settings: the parameters of a controller that may change while it flies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trc_core import Controller
from trc_core.flight.limits import CommandLimits
from trc_core.flight.settings import Settings, weights_of
from trc_ros.conversions import joints_of


@dataclass(frozen=True, eq=False)
class LiveSettings:
    """Immutable settings, replaced as a whole: no cycle sees half of a change."""

    settings: Settings
    publish_horizon: bool
    publish_joint_trajectory: bool
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
        published = values['publish_horizon'], values['publish_joint_trajectory']
        return cls(settings, *published, values)
