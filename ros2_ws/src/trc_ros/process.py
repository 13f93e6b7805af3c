"""Process of one node: signals in, one readable line on a fault, exit code out."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

import rclpy
from rclpy._rclpy_pybind11 import RCLError, UnknownROSArgsError
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.logging import LoggingSeverity, set_logger_level
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import remove_ros_args

from trc_ros.signals import ending_signals
from trc_ros.transport import avoid_shared_memory

STARTED = threading.Event()  # the node works: it must be closed before the process ends
STOP = threading.Event()  # set by a signal
LOOK_FOR_STOP = 0.2  # [s]
ENDED, REFUSED, BROKE = 0, 1, 3
"""Exit codes: ended when asked to; cannot work with these parameters, files or this computer, so
that to start it again helps nothing; broke while it worked, so that it may."""

SOURCE_LINE = re.compile(r', at /\S+:\d+')  # of rcl's own sources: no help to the reader
USAGE = """\
usage: {program} --ros-args -p system:=NAME [-p PARAMETER:=VALUE ...]
       {program} --ros-args --params-file FILE [-r __ns:=/NAMESPACE]

docs/parameters.md describes every parameter; so does `ros2 param describe`."""
HINTS = {
    'Sequence should be of same type': 'write the numbers of a list alike: [1.0, 0.0], and a bare '
    "y, which YAML takes for true, as 'y'"
}


def run(make_node: Callable[[Sequence[str]], Any], args: Sequence[str] | None = None) -> int:
    """Runs one node until a signal or a fault; returns the exit code.

    A node is made of the command line, and has two methods of its own. `start(fail)` begins to
    work; `fail(reason)`, called from any thread, ends the process later (an empty reason is in the
    log already). `close()` leaves the plant in a safe state and is called once, while messages can
    still be sent.

    rclpy's own signal handlers shut the context down first, so that no final command could
    be sent; here the main thread sleeps, and the executor spins in another one.
    """
    avoid_shared_memory()
    STARTED.clear()
    STOP.clear()
    given = sys.argv if args is None else ['', *args]
    for number in ending_signals():
        signal.signal(number, _stop)
    try:
        return _run(make_node, given)
    except (ValueError, OSError, RuntimeError, ParameterException) as error:
        print(one_line(error), file=sys.stderr)
        return REFUSED
    finally:
        rclpy.try_shutdown()


def _run(make_node: Callable[[Sequence[str]], Any], args: Sequence[str]) -> int:
    # Arguments.
    _init(list(args))
    own = remove_ros_args(args)[1:]
    if {'-h', '--help'} & set(own):
        print(USAGE.format(program=os.path.basename(sys.argv[0])))
        return ENDED
    if own:
        raise ValueError(f"unknown argument '{own[0]}'; parameters come behind --ros-args")
    # The node; a failure of its loop or of the executor ends the wait below.
    node, failures, done = make_node(args), [], threading.Event()

    def fail(reason: str) -> None:
        failures.append(reason)
        done.set()

    # Spin in a thread until a signal or a failure, then close in order.
    executor = SingleThreadedExecutor()
    spinner = threading.Thread(target=_spin, args=(executor, fail), name='executor', daemon=True)
    try:
        executor.add_node(node)
        node.start(fail)
        STARTED.set()
        spinner.start()
        while not done.wait(LOOK_FOR_STOP):
            if STOP.is_set():
                node.get_logger().info('stopping')
                break
    finally:
        _ignore_signals()
        node.close()
        reasons = tuple(failures)  # an executor that is shut down while it spins may break
        executor.shutdown(timeout_sec=1.0)
        if spinner.is_alive():
            spinner.join(timeout=1.0)
        node.destroy_node()
    for reason in filter(None, reasons):
        print(reason, file=sys.stderr)
    if any(reasons):
        return BROKE
    return REFUSED if reasons else ENDED


def _init(args: list[str]) -> None:
    """`rclpy.init` with one readable line for arguments and files that ROS cannot parse."""
    # rcl logs a line of its own before it raises.
    set_logger_level('rcl', LoggingSeverity.FATAL)
    try:
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    except (RCLError, UnknownROSArgsError) as error:
        text = SOURCE_LINE.sub('', one_line(error))
        hints = [hint for symptom, hint in HINTS.items() if symptom in text]
        raise ValueError('; '.join([text, *hints])) from error
    finally:
        set_logger_level('rcl', LoggingSeverity.UNSET)


def _spin(executor: SingleThreadedExecutor, fail: Callable[[str], None]) -> None:
    try:
        executor.spin()
    except ExternalShutdownException:
        return
    except Exception as error:  # a callback broke: a dead thread would go unnoticed
        fail(one_line(error))


def _stop(number: int, frame: FrameType | None) -> None:
    """Asks the main thread to stop; before the node works there is nothing to close.

    Nothing is raised here: an exception in the middle of the compiler crashes it or is lost.
    """
    STOP.set()
    if not STARTED.is_set():
        os._exit(0)


def _ignore_signals() -> None:
    for number in ending_signals():
        signal.signal(number, signal.SIG_IGN)


def one_line(error: BaseException) -> str:
    """Message of an error in one line; with its type where that is unexpected."""
    text = ' '.join(str(error).split())
    expected = isinstance(error, (ValueError, OSError, ParameterException))
    return text if expected else f'{type(error).__name__}: {text}'
