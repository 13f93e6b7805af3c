"""The parameters of the node `controller`."""

from __future__ import annotations

from trc_core.flight.safety import FALLBACKS
from trc_core.planner.backends import BACKENDS
from trc_core.planner.controller import TOLERANCE
from trc_core.problem.system import CONSTRAINT_TOLERANCE
from trc_ros.conversions import GOAL_TYPES, PARAMETER_TYPES, REFERENCE_TYPES, STATE_TYPES
from trc_ros.parameters.specs import BOTH, Spec

PLANNING = (
    Spec('controller_frequency', 50.0, 'Control cycles per second [Hz].', bounds=(0.1, 1000.0)),
    Spec(
        'cycle_on',
        'clock',
        'What begins a cycle: clock (every period) or state (its arrival, or a period without '
        'one); state with use_sim_time: nothing else, and time is what the stamps of states say.',
        choices=('clock', 'state'),
    ),
    Spec(
        'model_path',
        '',
        "Checkpoint: file or shipped name; empty: the one of 'system'; classical: no network, "
        'sweeps alone plan for any system.',
    ),
    Spec(
        'model_parameters',
        (),
        "Physical parameters of this very plant that the model is conditioned on, like 'mu=1.3'.",
        items=str,
    ),
    Spec(
        'backend',
        'auto',
        'What plans: auto, numba (compiled), numpy, torch or onnx.',
        choices=('auto', *sorted(BACKENDS)),
    ),
    Spec('device', 'cpu', "Where the network runs: cpu, or cuda with the backend 'torch'."),
    Spec('num_threads', 1, 'Threads that PyTorch or ONNX Runtime may use.', bounds=(1, 1024)),
    Spec(
        'warmup_iterations',
        20,
        'Plans timed at configure, which is refused if their p99 exceeds the period; 0: none.',
        bounds=(0, 10_000),
    ),
    Spec(
        'refinement_cycles',
        -1,
        "Refinement cycles per plan; -1: the checkpoint's own number, 0: the best start alone.",
        bounds=(-1, 1000),
        live=True,
    ),
    Spec(
        'early_exit_tolerance',
        TOLERANCE,
        'Refinement ends when the expected decrease of the cost in a cycle is a smaller share.',
        bounds=(0.0, 1.0),
        live=True,
    ),
    Spec(
        'weights.Q',
        (),
        "Cost of the error of every state, squared: the diagonal of Q; empty: the system's own.",
        live=True,
    ),
    Spec(
        'weights.R',
        (),
        "Cost of every control's distance from the trim control, squared: the diagonal of R; "
        "empty: the system's own.",
        live=True,
    ),
    Spec(
        'weights.Q_f',
        (),
        'Cost of the error of every state at the end of the plan, squared: the diagonal of Q_f; '
        "empty: the system's own.",
        live=True,
    ),
    Spec('warm_start', True, 'Start every plan from the last accepted one.', live=True),
    Spec(
        'input_delay',
        0.0,
        'Time from a command to its effect on the plant [s], made up for by prediction.',
        bounds=(0.0, 2.0),
    ),
    Spec(
        'adaptation.enabled',
        True,
        'Learn the physical parameters of the plant and the gains of its controls in flight, and '
        'plan with them where they predict the motion clearly better than the model does.',
    ),
    Spec(
        'adaptation.noise',
        (),
        'Standard deviation of every measured coordinate, which is not learned from; empty: a '
        'thousandth of the box of initial states.',
    ),
)
SAFETY = (
    Spec(
        'state_timeout',
        0.2,
        'Age at which a state is stale [s], since its stamp or, unstamped, its arrival.',
        bounds=(0.001, 60.0),
        live=True,
    ),
    Spec(
        'use_stamps',
        True,
        'Use the stamps of states; false, for a sensor whose clock is not synchronised: a '
        'state is as old as its arrival.',
    ),
    Spec(
        'goal_timeout',
        0.0,
        'Age at which a goal that arrived is stale [s]; 0: goals do not age.',
        bounds=(0.0, 86400.0),
        live=True,
    ),
    Spec(
        'failure_tolerance',
        -1,
        'Late or rejected plans in a row before the fallback flies; -1: while the tail reaches.',
        bounds=(-1, 1_000_000),
        live=True,
    ),
    Spec(
        'constraint_tolerance',
        CONSTRAINT_TOLERANCE,
        'Violation of a constraint, in its unit, that is reported: of a plan, which then flies '
        'DEGRADED, and in the plant, of the true state.',
        BOTH,
        bounds=(0.0, 1e6),
        live=True,
    ),
    Spec(
        'fallback_mode',
        'tail',
        'What flies when an input is stale or no plan is usable: the tail of the last plan, '
        'lqr, hold (the last command), zero or none (silence).',
        choices=tuple(FALLBACKS),
        live=True,
    ),
    Spec(
        'command_limits.min',
        (),
        "Smallest command, one number per control; empty: the system's bound.",
        live=True,
    ),
    Spec(
        'command_limits.max',
        (),
        "Largest command, one number per control; empty: the system's bound.",
        live=True,
    ),
    Spec(
        'command_limits.rate',
        (),
        'Largest change of a command per second, one number per control; empty: none.',
        live=True,
    ),
)
TOPICS = (
    Spec('state_type', 'JointState', "Message type on 'state'.", choices=tuple(STATE_TYPES)),
    Spec('goal_type', 'JointState', "Message type on 'goal'.", choices=tuple(GOAL_TYPES)),
    Spec(
        'reference_type',
        'JointTrajectory',
        "Message type on '~/reference', which then replaces the goal.",
        choices=tuple(REFERENCE_TYPES),
    ),
    Spec(
        'parameters_type',
        'JointState',
        "Message type on '~/parameters': JointState (numbers by name), or MarkerArray (cylinders "
        'and spheres are the obstacles of the system).',
        BOTH,
        choices=tuple(PARAMETER_TYPES),
    ),
    Spec('initial_goal', (), 'Goal until one arrives, in state coordinates; empty: zeros.'),
    Spec(
        'pose_axes',
        (),
        'Axis of every joint in a pose (x, y, z, or one of roll, pitch, yaw), for Odometry, '
        'PoseStamped and pictures; empty: those of a shipped system.',
        items=str,
    ),
    Spec(
        'frame_id',
        '',
        'frame_id of the published headers; Odometry, PoseStamped, Path and markers in another '
        'one are refused.',
    ),
    Spec('publish_horizon', True, "Publish every accepted plan on '~/horizon'.", live=True),
    Spec(
        'publish_joint_trajectory',
        False,
        "Publish every accepted plan on '~/joint_trajectory_command' too, as a stock "
        'joint_trajectory_controller accepts it.',
        live=True,
    ),
    Spec(
        'zero_final_velocity',
        True,
        'Plans on that topic end at rest, as that controller demands by default.',
    ),
    Spec('autostart', True, 'Configure and activate without waiting for transitions.'),
    Spec('diagnostics.period', 1.0, 'Time between diagnostics [s].', BOTH, bounds=(0.01, 60.0)),
)
CONTRACT = (
    Spec(
        'contract.state_names',
        (),
        'State coordinates that the checkpoint must have; like all of the contract, checked at '
        'configure unless empty or 0.',
        items=str,
    ),
    Spec('contract.control_names', (), 'Controls that it must have, in this order.', items=str),
    Spec('contract.dt', 0.0, 'Sampling period of its plans [s].', bounds=(0.0, 1e3)),
    Spec('contract.horizon', 0, 'Control steps of its plans.', bounds=(0, 1_000_000)),
    Spec('contract.u_min', (), 'Its lower control bounds.'),
    Spec('contract.u_max', (), 'Its upper control bounds.'),
    Spec(
        'contract.parameters',
        (),
        "Physical parameters of the plant that it plans for, like 'mu=1.0'.",
        items=str,
    ),
)
REALTIME = (
    Spec(
        'realtime.sched_fifo_priority',
        0,
        'SCHED_FIFO priority of the control loop; 0: the normal scheduler.',
        bounds=(0, 99),
    ),
    Spec(
        'realtime.cpu_affinity',
        (),
        'CPUs that the control loop may use; empty: all.',
        items=int,
    ),
    Spec('realtime.lock_memory', False, 'Keep the memory of the process out of swap.'),
    Spec('realtime.disable_gc', False, 'No garbage collection while the control loop runs.'),
)
CONTROLLER_SPECS = PLANNING + SAFETY + TOPICS + CONTRACT + REALTIME
