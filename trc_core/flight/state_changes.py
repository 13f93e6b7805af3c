"""Changes of the safety state: all are counted, and as many are told as a reader can follow."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from trc_core.flight.safety import SafetyState

PERIOD = 5.0  # [s] of one summary
AT_ONCE = 4  # changes in a period that are told one by one
SEVERITY = {state: rank for rank, state in enumerate(SafetyState)}


class StateChanges:
    """Tells of changes at once, and of a flapping state in one line per period.

    Args:
        tell: takes a state, the worst one that a line is about, and the line.
        clock: steady time [s].
    """

    def __init__(
        self,
        tell: Callable[[SafetyState, str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tell = tell
        self._clock = clock
        self._held: list[tuple[SafetyState, str]] = []  # changes of this period not told yet
        self.clear()

    def clear(self) -> None:
        """Forgets the state and the counts; the next state is a change."""
        self.flush()
        self.entries: Counter[SafetyState] = Counter()
        """How often each state was entered."""
        self._state: SafetyState | None = None
        self._began = self._clock()
        self._told = 0

    def note(self, state: SafetyState, reason: str) -> None:
        """Notes the state of a cycle and its reason."""
        if state is self._state:
            if self._held and self._clock() - self._began >= PERIOD:
                self.flush()
            return
        self._state = state
        self.entries[state] += 1
        # A period without a change that was held back: it is calm again.
        if self._clock() - self._began >= PERIOD and not self.flush():
            self._began, self._told = self._clock(), 0
        if self._told < AT_ONCE:
            self._told += 1
            self._tell(state, f'{state.value}: {reason}')
        else:
            self._held.append((state, reason))

    def flush(self) -> bool:
        """Tells of the changes that were held back; whether there were any."""
        held, self._held = self._held, []
        if not held:
            return False
        seconds = self._clock() - self._began
        self._began = self._clock()
        states = sorted({state for state, _ in held}, key=SEVERITY.__getitem__)
        (last, reason), worst = held[-1], states[-1]
        why = next(reason for state, reason in reversed(held) if state is worst)
        self._tell(
            worst,
            f'{" <-> ".join(s.value for s in states)}: {len(held)} changes in {seconds:.1f} s, '
            f'last {worst.value} for: {why}; now {last.value}: {reason}',
        )
        return True
