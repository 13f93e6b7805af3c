"""The parameters of the node `controller`."""

from __future__ import annotations

from trc_core.flight.safety import FALLBACKS
from trc_core.planner.backends import BACKENDS
from trc_core.planner.controller import TOLERANCE
from trc_core.problem.system import CONSTRAINT_TOLERANCE
from trc_ros.parameters.specs import BOTH, Spec
from trc_ros.parameters.topics import TOPICS

PLANNING = (
    Spec('controller_frequency', 50.0, 'Control cycles per second [Hz].', bounds=(0.1, 1000.0)),
    Spec(
        'cycle_on',
        'clock',
        "What begins a control cycle: 'clock' (every period) or 'state' (the arrival of a "
        "state, or a period without one). With 'state' and use_sim_time, only states begin "
        'cycles, and their stamps define the time.',
        choices=('clock', 'state'),
    ),
    Spec(
        'model_path',
        '',
        'Checkpoint of the controller: a file or the name of a shipped one. If empty, the '
        "checkpoint of 'system'. With 'classical', iLQR sweeps plan for any system without "
        'a network.',
    ),
    Spec(
        'model_parameters',
        (),
        "Physical parameters of this plant that are inputs of the network, like 'mu=1.3'.",
        items=str,
    ),
    Spec(
        'backend',
        'auto',
        'Implementation of the planner: auto, numba (compiled), numpy, torch or onnx.',
        choices=('auto', *sorted(BACKENDS)),
    ),
    Spec('device', 'cpu', "Device of the network: cpu, or cuda with the backend 'torch'."),
    Spec(
        'num_threads',
        1,
        'Threads that PyTorch, ONNX Runtime or the plans of a fleet may use.',
        bounds=(1, 1024),
    ),
    Spec(
        'warmup_iterations',
        100,
        'Number of plans timed at configure, again for some seconds while their p99 exceeds the '
        'period. With 0 none is timed.',
        bounds=(0, 10_000),
    ),
    Spec(
        'slow_plans',
        'refuse',
        'What configure does if the p99 of the timed plans exceeds the period: refuse, or warn '
        'and fly with plans that the deadline cuts short.',
        choices=('refuse', 'warn'),
    ),
    Spec(
        'refinement_cycles',
        -1,
        'Refinement cycles per plan. With -1 the number of the checkpoint, with 0 the best '
        'candidate without refinement.',
        bounds=(-1, 1000),
        live=True,
    ),
    Spec(
        'early_exit_tolerance',
        TOLERANCE,
        'Refinement ends when a cycle is expected to lower the cost by a smaller share than this.',
        bounds=(0.0, 1.0),
        live=True,
    ),
    Spec(
        'weights.Q',
        (),
        "Diagonal of Q, the weights of squared state errors. If empty, the system's own.",
        live=True,
    ),
    Spec(
        'weights.R',
        (),
        'Diagonal of R, the weights of squared differences between controls and the trim '
        "control. If empty, the system's own.",
        live=True,
    ),
    Spec(
        'weights.Q_f',
        (),
        'Diagonal of Q_f, the weights of squared state errors at the end of the plan. If '
        "empty, the system's own.",
        live=True,
    ),
    Spec(
        'warm_start',
        True,
        'Whether the last accepted plan is a candidate for the next one.',
        live=True,
    ),
    Spec(
        'input_delay',
        0.0,
        'Time from a command to its effect on the plant [s], which the controller '
        'compensates by prediction.',
        bounds=(0.0, 2.0),
    ),
    Spec(
        'adaptation.enabled',
        True,
        'Whether the physical parameters of the plant and the gains of its controls are estimated '
        'in flight. Plans use the estimates while they predict the motion clearly better than the '
        'model.',
    ),
    Spec(
        'adaptation.noise',
        (),
        'Standard deviation of the noise of every measured coordinate, for the estimation. '
        'If empty, a thousandth of the box of initial states.',
    ),
)
SAFETY = (
    Spec(
        'state_timeout',
        0.2,
        'Age from which a state is too old [s], counted from its stamp or, without a stamp, '
        'from its arrival.',
        bounds=(0.001, 60.0),
        live=True,
    ),
    Spec(
        'use_stamps',
        True,
        'Whether the age of a state counts from its stamp. Set it to false for a sensor '
        'whose clock is not synchronised; the age then counts from the arrival.',
    ),
    Spec(
        'state_limits.min',
        (),
        'Smallest state, one number per state, in the order of the system. A state outside is '
        'refused as out_of_range. If empty, there is no limit: a state far outside those of the '
        'training is a warning, and flown.',
        live=True,
    ),
    Spec(
        'state_limits.max',
        (),
        'Largest state, one number per state, in the order of the system. If empty, there is no '
        'limit.',
        live=True,
    ),
    Spec(
        'velocity_cutoff_frequency',
        0.0,
        'Cut-off frequency of the low-pass filter [Hz] through which velocities are found from '
        'positions, where a JointState has none (or NaN). With 0 such a state is refused.',
        bounds=(0.0, 10_000.0),
    ),
    Spec(
        'goal_timeout',
        0.0,
        'Age from which a received goal is too old [s]. With 0 goals do not age.',
        bounds=(0.0, 86400.0),
        live=True,
    ),
    Spec(
        'failure_tolerance',
        -1,
        'Number of consecutive late or rejected plans before the fallback flies. With -1 '
        'the last plan is used to its end.',
        bounds=(-1, 1_000_000),
        live=True,
    ),
    Spec(
        'constraint_tolerance',
        CONSTRAINT_TOLERANCE,
        'Violation of a constraint, in its unit, from which it is reported: by the '
        'controller for a plan, whose state is then degraded, and by the plant for the true '
        'state.',
        BOTH,
        bounds=(0.0, 1e6),
        live=True,
    ),
    Spec(
        'fallback_mode',
        'tail',
        'Command when an input is too old or no plan is usable: tail (the rest of the last '
        'plan), lqr, hold (the last command), zero, or none (no message).',
        choices=tuple(FALLBACKS),
        live=True,
    ),
    Spec(
        'command_limits.min',
        (),
        "Smallest command, one number per control. If empty, the system's bound.",
        live=True,
    ),
    Spec(
        'command_limits.max',
        (),
        "Largest command, one number per control. If empty, the system's bound.",
        live=True,
    ),
    Spec(
        'command_limits.rate',
        (),
        'Largest change of a command per second, one number per control. If empty, there is '
        'no limit.',
        live=True,
    ),
)
CONTRACT = (
    Spec(
        'contract.state_names',
        (),
        'State names that the checkpoint must have. Like all of the contract, it is checked '
        'at configure unless empty or 0.',
        items=str,
    ),
    Spec(
        'contract.control_names',
        (),
        'Control names that the checkpoint must have, in this order.',
        items=str,
    ),
    Spec(
        'contract.dt',
        0.0,
        'Time step that the plans of the checkpoint must have [s].',
        bounds=(0.0, 1e3),
    ),
    Spec(
        'contract.horizon',
        0,
        'Number of control steps that the plans of the checkpoint must have.',
        bounds=(0, 1_000_000),
    ),
    Spec('contract.u_min', (), 'Lower control bounds that the checkpoint must have.'),
    Spec('contract.u_max', (), 'Upper control bounds that the checkpoint must have.'),
    Spec(
        'contract.parameters',
        (),
        "Physical parameters that the checkpoint must have, like 'mu=1.0'.",
        items=str,
    ),
)
REALTIME = (
    Spec(
        'realtime.sched_fifo_priority',
        0,
        'SCHED_FIFO priority of the control loop. With 0 the normal scheduler is used.',
        bounds=(0, 99),
    ),
    Spec(
        'realtime.cpu_affinity',
        (),
        'CPUs that the control loop may use. If empty, all.',
        items=int,
    ),
    Spec(
        'realtime.lock_memory',
        False,
        'Whether the memory of the process is locked, so that it is never swapped out.',
    ),
    Spec(
        'realtime.disable_gc',
        False,
        'Whether garbage collection is off while the control loop runs.',
    ),
)
CONTROLLER_SPECS = PLANNING + SAFETY + TOPICS + CONTRACT + REALTIME
