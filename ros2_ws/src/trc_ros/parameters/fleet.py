"""The parameters of the node `fleet`: the robots, and what it shares with a controller."""

from __future__ import annotations

from trc_ros.parameters.specs import FLEET, Spec

FLEET_SPECS: tuple[Spec, ...] = (
    Spec(
        'robots',
        (),
        'Names of the robots. The topics of a robot begin with its name: NAME/state, NAME/goal, '
        'NAME/command; so do its frames: NAME/frame_id.',
        FLEET,
        items=str,
    ),
)
SHARED = (
    *('system', 'controller_frequency', 'model_path', 'model_parameters', 'backend', 'device'),
    *('num_threads', 'warmup_iterations', 'refinement_cycles', 'early_exit_tolerance'),
    *('weights.Q', 'weights.R', 'weights.Q_f', 'warm_start', 'input_delay'),
    *('state_timeout', 'use_stamps', 'goal_timeout', 'failure_tolerance'),
    *('constraint_tolerance', 'fallback_mode'),
    *('command_limits.min', 'command_limits.max', 'command_limits.rate'),
    *('command_type', 'command_axes', 'command_scale', 'command_offset', 'command_frame_id'),
    *('state_type', 'goal_type', 'reference_type', 'parameters_type', 'initial_goal'),
    *('pose_axes', 'frame_id', 'diagnostics.period', 'joints', 'velocity_cutoff_frequency'),
    *('goal_limits.min', 'goal_limits.max', 'state_limits.min', 'state_limits.max'),
    *('slow_plans', 'exclusive_command'),
)
"""Parameters of the controller that a fleet has, too, with the same meaning for every robot."""
SHARED_GROUPS = ('task.', 'contract.', 'realtime.')
"""All parameters of these groups are shared."""
