"""Lock-step: a state goes out, its command comes in, the plant advances by a period."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

REPEAT_PERIOD = 0.5  # [s] the first state is shown again after it, until a command answers
QUIET_TIME = 0.2  # [s] without an answer: none to a repetition of the first state is under way


@dataclass(frozen=True)
class Turn:
    """Actions of a turn, in this order; then the answer is waited for."""

    advance: Callable[[], None]
    """Moves the plant on by a period; left out in the first turn."""
    measure: Callable[[], None]
    """Fixes what is published."""
    publish: Callable[[], bool]
    """Sends it, more than once if need be; False if nothing went out, so that none answers."""


class LockStep:
    """Takes turns with a controller in a thread of its own, as fast as it answers.

    Args:
        turn: the work.
        timeout: for an answer [s of the steady clock]; the last command holds without one.
        shortest_turn: [s of the steady clock]; 0: no limit.
        wait_for_first: stay in the first turn until the first answer.
        warn: called once when answers stop coming.
        on_failure: called in the thread with the exception that ended it.
    """

    def __init__(
        self,
        turn: Turn,
        timeout: float,
        shortest_turn: float,
        wait_for_first: bool,
        warn: Callable[[str], None],
        on_failure: Callable[[Exception], None],
    ) -> None:
        self._turn = turn
        self._timeout = timeout
        self._shortest_turn = shortest_turn
        self._wait_for_first = wait_for_first
        self._warn = warn
        self._on_failure = on_failure
        self._condition = threading.Condition()
        self._answered = self._stopping = self._silent = False
        self._thread = threading.Thread(target=self._run, name='lockstep', daemon=True)

    def start(self) -> None:
        """Starts the thread; the first turn begins at once."""
        self._thread.start()

    def stop(self) -> None:
        """Returns when no other turn will follow."""
        with self._condition:
            self._stopping = True
            self._condition.notify_all()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()

    def answer(self) -> None:
        """Notes that a command has arrived and has been applied; called from another thread."""
        with self._condition:
            self._answered = True
            self._condition.notify_all()

    def _run(self) -> None:
        try:
            self._repeat()
        except Exception as error:  # whatever it was: the process must learn that nothing moves
            self._on_failure(error)

    def _repeat(self) -> None:
        self._first_turn()
        deadline = time.monotonic()
        while not self._stopping:
            self._turn.advance()
            self._turn.measure()
            self._exchange()
            deadline = max(deadline + self._shortest_turn, time.monotonic())
            self._sleep_until(deadline)

    def _first_turn(self) -> None:
        self._turn.measure()
        if not self._wait_for_first:
            self._exchange()
            return
        shown, answered = 0, False
        while not (answered or self._stopping):
            self._turn.publish()
            shown += 1
            answered = self._wait(REPEAT_PERIOD)
        for _ in range(shown - 1):  # each repetition may have an answer under way
            if self._stopping or not self._wait(QUIET_TIME):
                return

    def _exchange(self) -> None:
        self._answered = False
        if not self._turn.publish():
            return
        answered = self._wait(self._timeout)
        if not (answered or self._silent):
            self._warn(f'no command within {self._timeout:g} s of a state; the last one holds')
        self._silent = not answered

    def _wait(self, timeout: float) -> bool:
        """Whether the next answer came in time; True when stopping, too."""
        with self._condition:
            came = self._condition.wait_for(lambda: self._answered or self._stopping, timeout)
            self._answered = False
        return came

    def _sleep_until(self, deadline: float) -> None:
        with self._condition:
            self._condition.wait_for(lambda: self._stopping, max(0.0, deadline - time.monotonic()))
