"""Nodes as child processes of a command: environment, command lines, output and end."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from trc_core.command_line import report_errors
from trc_ros.signals import held_back
from trc_ros.transport import avoid_shared_memory

STOP_TIME = 10.0  # [s] between asking a process to end and ending it
ENVIRONMENT = {
    # Wheels of ROS 2 find their resources here; a ROS installation has set it already.
    'AMENT_PREFIX_PATH': sys.prefix,
    'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
    # Nodes that happen to run on this machine must not take part.
    'ROS_DOMAIN_ID': str(1 + os.getpid() % 100),
}
"""What the nodes need from the environment, unless it is set already."""


class NodeError(ChildProcessError):
    """A node ended, stayed silent or refused what it was asked for; the message is one line."""


def set_environment() -> None:
    """Completes the environment of this process and its children; before rclpy is imported."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    avoid_shared_memory()


def carry_out(
    parser: argparse.ArgumentParser,
    run: Callable[[argparse.Namespace, str], Any],
    argv: Sequence[str] | None,
) -> Any:
    """Runs a command that starts nodes; returns what it returns.

    Args:
        parser: of its command line.
        run: takes the options, and the command as it was typed.
        argv: the arguments; None for those of this process, behind the verb.

    Raises:
        SystemExit: with the exit code, if the command line or the run fails.
    """
    options = parser.parse_args(argv)
    given = sys.argv[2:] if argv is None else list(argv)
    set_environment()
    with report_errors(parser.prog):
        return run(options, shlex.join([*parser.prog.split(), *given]))


def node_command(node: str, system: str, overrides: Mapping[str, Any]) -> list[str]:
    """The command line of a node, in a namespace named after the system.

    Its parameter file is used unless the overrides name another system, like that of a file.
    """
    # Not the console script: where that lies differs between pip and colcon.
    start = f'from trc_ros.{node}.node import main; raise SystemExit(main())'
    # A node of ours lands when it is told that its terminal is gone, also under nohup.
    hears = 'import signal; signal.signal(signal.SIGHUP, signal.SIG_DFL)'
    path = None if 'system' in overrides else find_params(system)
    named = ('--params-file', str(path)) if path else ('-p', f'system:={system}')
    assignments = [f'{name}:={value}' for name, value in overrides.items()]
    return [
        *(sys.executable, '-c', f'{hears}; {start}'),
        *('--ros-args', '-r', f'__ns:=/{system}', *named),
        *(word for assignment in assignments for word in ('-p', assignment)),
    ]


def find_params(system: str) -> Path | None:
    """The parameter file of a system, in a checkout or an installation, if it has one."""
    for parent in Path(__file__).resolve().parents:
        for share in (parent, parent / 'share' / 'trc'):
            if (share / 'package.xml').is_file():
                path = share / 'params' / f'{system}.yaml'
                if path.is_file():
                    return path
    return None


class Child:
    """A process that lives as long as the `with` block, at most.

    Args:
        command: the words of the command line.
        name: what messages call it.
    """

    def __init__(self, command: Sequence[str], name: str) -> None:
        self._command = command
        self._name = name

    def __enter__(self) -> Child:
        self._log = tempfile.TemporaryFile('w+', errors='replace')
        # In a session of its own: Ctrl-C reaches only this process, which ends nodes in order.
        # Without buffers the last line of its log is the last that it printed.
        environment = {**os.environ, 'PYTHONUNBUFFERED': '1'}
        try:
            with held_back():  # a node that nobody holds yet would fly on
                self._process = subprocess.Popen(
                    self._command,
                    stdout=self._log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    env=environment,
                )
        except KeyboardInterrupt:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self.end()
        finally:
            self._log.close()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether there is no process any more."""
        return self._process.poll() is not None

    def send(self, number: int) -> None:
        """Sends it a signal."""
        self._process.send_signal(number)

    def end(self) -> int:
        """Asks the process to end, and ends it if it does not; returns its exit code."""
        if not self.has_ended:
            self.send(signal.SIGINT)
            try:
                self._process.wait(STOP_TIME)
            except subprocess.TimeoutExpired:
                self.kill()
        return self._process.returncode

    def kill(self) -> None:
        """Ends the process without giving it a chance to say anything (SIGKILL)."""
        self._process.kill()
        self._process.wait()

    def check(self) -> None:
        """Makes sure that the process is alive.

        Raises:
            NodeError: if it ended; with the last line that it printed.
        """
        code = self._process.poll()
        if code is not None:
            raise NodeError(f'{self._name} ended with code {code}: {self._last_line()}')

    def _last_line(self) -> str:
        self._log.seek(0)
        lines = self._log.read().strip().splitlines()
        return lines[-1] if lines else '(it printed nothing)'
