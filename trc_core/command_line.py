"""Command-line behaviour shared by all commands: checkpoints, one-line errors, interrupts."""

from __future__ import annotations

import argparse
import itertools
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

CHECKPOINT_HELP = 'a shipped name or the path of a .safetensors or .onnx file'
SPINNER, SPINNER_PERIOD = '|/-\\', 0.1  # [s]


def add_checkpoint(
    parser: argparse.ArgumentParser, about: str = '', *, required: bool = False, many: bool = False
) -> None:
    """Adds the checkpoint to a command: by position, or as `--checkpoint`, but not both.

    Args:
        parser: gets the argument, as `checkpoint`; None where nothing is given.
        about: what the command takes beside shipped names and paths, or its default; for the help.
        required: whether one must be given.
        many: whether several may be given; then it is a list.
    """
    names = CHECKPOINT_HELP + about
    either = parser.add_mutually_exclusive_group(required=required)
    either.add_argument(
        'checkpoint',
        nargs='*' if many else '?',
        default=argparse.SUPPRESS,  # where it is not given, the flag counts
        metavar='CHECKPOINT',
        help=names,
    )
    either.add_argument(
        '--checkpoint',
        nargs='+' if many else None,
        metavar='CHECKPOINT',
        help='the same as a flag',
    )


def checkpoint_as_flag(arguments: Sequence[str]) -> list[str]:
    """Arguments in which a checkpoint that stands first has become `--checkpoint`.

    For commands whose flags argparse does not read.

    Raises:
        ValueError: if the flag is there as well.
    """
    if not arguments or arguments[0].startswith('-'):
        return list(arguments)
    first, *rest = arguments
    if any(argument.partition('=')[0] == '--checkpoint' for argument in rest):
        raise ValueError(f"give one checkpoint: '{first}' or --checkpoint, not both")
    return ['--checkpoint', first, *rest]


@contextmanager
def report_errors(program: str) -> Iterator[None]:
    """Turns the errors that a user can mend into one line on stderr; Ctrl-C exits with 130."""
    try:
        with interrupts():
            yield
    except BrokenPipeError:  # whoever read the output has enough: `trc info NAME | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing left to flush
        raise SystemExit(1) from None
    except (ValueError, OSError) as error:
        print(f'{program}: {error}', file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        print(f'{program}: interrupted', file=sys.stderr)
        raise SystemExit(130) from None


def check_output(path: Path, suffix: str) -> None:
    """Makes the folder of an output before the work begins, so that its result can be written.

    Args:
        path: where a command is going to write.
        suffix: how it must end, like '.json': readers go by that, and what a command reads ends
            otherwise, so it is never written over.

    Raises:
        ValueError: if it ends otherwise.
        OSError: if it is a folder, or cannot be written.
    """
    if path.suffix != suffix:
        raise ValueError(f"the output '{path}' must end in {suffix}")
    if path.is_dir():
        raise IsADirectoryError(f"the output '{path}' is a folder; give a file in it")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"cannot make the folder of '{path}': {error.strerror}") from error
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise PermissionError(f"'{path}' cannot be written; choose another place")


def add_force(parser: argparse.ArgumentParser) -> None:
    """Adds --force, for commands that take a checkpoint and a system."""
    parser.add_argument(
        '--force',
        action='store_true',
        help='with --system: take that plant although its equations, dt or other numbers are not '
        "those of the checkpoint, with a warning (the horizon has to be the network's)",
    )


def expected_time(seconds: float, what: str, cores: int) -> str:
    """The time that work is going to take, like 'about 12 min for 1,000 samples on 2 cores'."""
    for unit, length in (('h', 3600.0), ('min', 60.0), ('s', 1.0)):
        if seconds >= 2.0 * length or unit == 's':
            break
    return f'about {max(1, round(seconds / length))} {unit} for {what} on {counted(cores, "core")}'


def counted(count: int, what: str) -> str:
    """A number of things, like '1,000 samples' or '1 core'."""
    return f'{count:,} {what}' + ('' if count == 1 else 's')


@contextmanager
def interrupts() -> Iterator[None]:
    """Raises Ctrl-C as KeyboardInterrupt where compiled code has turned it into another error.

    SIGTERM counts as Ctrl-C, so that files are kept and no process is left behind.
    """
    in_main = threading.current_thread() is threading.main_thread()  # only that one may ask
    before = signal.signal(signal.SIGTERM, signal.default_int_handler) if in_main else None
    try:
        yield
    except Exception as error:
        if isinstance(error.__cause__, KeyboardInterrupt):
            raise KeyboardInterrupt from error
        raise
    finally:
        if in_main:
            signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


@contextmanager
def spinner(text: str) -> Iterator[None]:
    """Shows on stderr that work of unknown length goes on, and how long it took.

    One line where stderr is no terminal.
    """
    if not sys.stderr.isatty():
        print(f'{text} ...', file=sys.stderr, flush=True)
        yield
        return
    done, began = threading.Event(), time.monotonic()

    def spin() -> None:
        for mark in itertools.cycle(SPINNER):
            seconds = time.monotonic() - began
            print(f'\r{mark} {text} ... {seconds:.0f} s', end='', file=sys.stderr, flush=True)
            if done.wait(SPINNER_PERIOD):
                return

    thread = threading.Thread(target=spin, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        print(f'\r{text}: {time.monotonic() - began:.0f} s     ', file=sys.stderr)
