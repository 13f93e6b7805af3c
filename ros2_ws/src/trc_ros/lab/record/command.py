"""`trc record`: records a running controller until Ctrl-C."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

SEARCH_TIME = 10.0  # [s] for a controller to be found
REPORT_PERIOD = 1.0  # [s] of the progress line
LAST_MESSAGES = 0.3  # [s] in which what is under way arrives
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class RecordError(RuntimeError):
    """Nothing can be recorded; the message is one line that says why."""


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of `trc record`.

    Raises:
        SystemExit: with the exit code, unless all went well.
    """
    options = parse(argv)
    # Wheels of ROS 2 find their resources here; a ROS installation has set it already.
    os.environ.setdefault('AMENT_PREFIX_PATH', sys.prefix)
    try:
        record(options)
    except (RecordError, ValueError, OSError) as error:
        raise SystemExit(f'trc record: {error}') from None


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(
        prog='trc record',
        description='Records a running controller into a bag that `trc replay` flies again: what '
        'it hears, what it commands, its diagnostics and parameters, and a record of every cycle. '
        'Ctrl-C ends it; the bag is complete then. ROS_DOMAIN_ID counts, as for every node.',
    )
    parser.add_argument(
        '--controller',
        metavar='/NS/NAME',
        help='full name of its node; needed only where several are running',
    )
    parser.add_argument(
        '--output',
        type=Path,
        help='folder of the bag (default: flight-DATE-TIME)',
    )
    parser.add_argument(
        '--seconds', type=float, default=float('inf'), help='how long (default: until Ctrl-C)'
    )
    parser.add_argument(
        '--all', action='store_true', dest='everything', help='plans and pictures as well'
    )
    parser.add_argument('--force', action='store_true', help='replace a bag that is there already')
    options = parser.parse_args(argv)
    if not options.seconds > 0:
        parser.error(f'--seconds is {options.seconds}; choose a positive time')
    options.output = options.output or Path(time.strftime('flight-%Y%m%d-%H%M%S'))
    return options


def record(options: argparse.Namespace) -> None:
    """Records until it is told to stop.

    Raises:
        RecordError: if there is no controller, the output is there already, or nothing came.
    """
    make_room(options.output, options.force)
    with _stop_on_signals() as stop, _node() as (node, executor):
        controller = options.controller or _find(node, executor, stop)
        _record(options, controller, node, executor, stop)


def make_room(output: Path, force: bool) -> None:
    """Makes sure that a bag can be written.

    Raises:
        RecordError: if something is there that must not be replaced.
    """
    if not output.exists():
        output.parent.mkdir(parents=True, exist_ok=True)
        return
    if not force:
        raise RecordError(f"'{output}' is there already; choose another --output, or --force")
    if not (output / 'metadata.yaml').is_file() and not list(output.glob('*.mcap')):
        raise RecordError(f"'{output}' is no bag: --force replaces bags only")
    shutil.rmtree(output)


def _record(
    options: argparse.Namespace, controller: str, node: Any, executor: Any, stop: threading.Event
) -> None:
    from trc_ros.lab.bag import Bag
    from trc_ros.lab.record.flight_recorder import FlightRecorder

    bag = Bag(options.output)
    recorder = FlightRecorder(node, controller, bag, options.everything)
    print(f'recording {controller} into {options.output}; Ctrl-C ends it', flush=True)
    began, progress, told = time.monotonic(), _Progress(recorder), 0
    try:
        recorder.look()
        while not stop.is_set() and time.monotonic() - began < options.seconds:
            executor.spin_once(timeout_sec=0.05)
            for topic in recorder.heard[told:]:  # a publisher finds it when it does
                print(f'hearing {topic}', flush=True)
            told = len(recorder.heard)
            progress.show(time.monotonic() - began)
            if not recorder.messages and time.monotonic() - began > SEARCH_TIME:
                raise RecordError(_silence(recorder, controller))
        end = time.monotonic() + LAST_MESSAGES
        while time.monotonic() < end:
            executor.spin_once(timeout_sec=0.05)
    finally:
        recorder.finish()
        bag.close()
        progress.end()
    print(_summary(recorder, options.output, time.monotonic() - began))


class _Progress:
    """One line on a terminal that is written over again and again."""

    def __init__(self, recorder: Any) -> None:
        self._recorder = recorder
        self._next = 0.0
        self._shown = False

    def show(self, seconds: float) -> None:
        if seconds < self._next or not sys.stderr.isatty():
            return
        self._next, self._shown = seconds + REPORT_PERIOD, True
        r = self._recorder
        text = f'{seconds:7.0f} s  {r.cycles:,} cycles  {r.messages:,} messages  {_size(r.bytes)}'
        print(f'\r{text}\033[K', end='', file=sys.stderr, flush=True)

    def end(self) -> None:
        if self._shown:
            print(file=sys.stderr)


def _summary(recorder: Any, output: Path, seconds: float) -> str:
    counts = f'{recorder.cycles:,} cycles, {recorder.messages:,} messages, {_size(recorder.bytes)}'
    lines = [f'{output}: {counts} in {seconds:.1f} s; fly it again with: trc replay {output}']
    if not recorder.cycles:
        lines.append('no cycle was recorded: is the controller active? (ros2 lifecycle get)')
    if recorder.parameters is None:
        lines.append('the controller did not tell its parameters')
    return '\n'.join(lines)


def _silence(recorder: Any, controller: str) -> str:
    if recorder.is_there():
        return f"'{controller}' says nothing within {SEARCH_TIME:g} s: configure and activate it"
    return f"there is no node '{controller}'; `ros2 node list` shows the names (ROS_DOMAIN_ID?)"


def _size(count: int) -> str:
    return f'{count / 1e6:.1f} MB'


def _find(node: Any, executor: Any, stop: threading.Event) -> str:
    """The only controller that is running.

    Raises:
        RecordError: if there are none or several.
    """
    from trc_ros.lab.record.flight_recorder import find_controllers

    end, found = time.monotonic() + SEARCH_TIME, []
    while not found and time.monotonic() < end and not stop.is_set():
        executor.spin_once(timeout_sec=0.2)
        found = find_controllers(node)
    if not found:
        raise RecordError(
            f'no configured controller within {SEARCH_TIME:g} s; is it running, in this '
            'ROS_DOMAIN_ID?'
        )
    if len(found) > 1:
        raise RecordError(f'choose one --controller of {found}')
    return found[0]


@contextlib.contextmanager
def _node() -> Iterator[tuple[Any, Any]]:
    """A node of this process, and its executor."""
    import rclpy
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.signals import SignalHandlerOptions

    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node(f'trc_record_{os.getpid()}')
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        yield node, executor
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown()


@contextlib.contextmanager
def _stop_on_signals() -> Iterator[threading.Event]:
    """An event that signals set: nothing is interrupted in the middle of a message."""
    stop = threading.Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
