"""Progress of long work: a bar on a terminal, one line every few seconds in a log file."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sized
from typing import Any

SECONDS_BETWEEN_LINES = 10.0
MINUTE, HOUR = 60.0, 3600.0  # [s]


def progress_bar(
    iterable: Iterable[Any] | None = None,
    label: str = '',
    total: float | None = None,
    *,
    initial: float = 0,
    unit: str = '',
    leave: bool = True,
    layout: str | None = None,
) -> Any:
    """Shows on stderr how far work has come, how fast it goes and how long it will still take.

    Args:
        iterable: what is worked through, item by item; without it, `update` counts.
        label: stands in front.
        total: how much there is; by default the length of `iterable`, where it has one.
        initial: how much was done earlier.
        unit: what is counted, like 'steps'.
        leave: whether the end is shown as well; False for short work within longer work.
        layout: of the bar on a terminal, as tqdm's `bar_format`.

    Returns:
        tqdm's bar where stderr is a terminal, else `ProgressLines`, which has the same methods.
    """
    if total is None and isinstance(iterable, Sized):
        total = len(iterable)
    if not sys.stderr.isatty():
        return ProgressLines(iterable, label, total, initial=initial, unit=unit, leave=leave)
    from tqdm import tqdm

    return tqdm(
        iterable,
        label,
        total,
        initial=initial,
        unit=f' {unit}' if unit else 'it',
        leave=leave,
        bar_format=layout,
    )


class ProgressLines:
    """Progress for log files: whole lines, none of them sooner than some seconds after another.

    Its methods are those of tqdm's bars. The arguments are those of `progress_bar`.
    """

    def __init__(
        self,
        iterable: Iterable[Any] | None,
        label: str,
        total: float | None,
        *,
        initial: float,
        unit: str,
        leave: bool,
    ) -> None:
        self.n = initial
        self.total = total
        self._iterable = iterable
        self._initial = initial
        self._label, self._unit, self._leave = label, unit, leave
        self._postfix = ''
        self._began = self._shown = time.monotonic()
        self._closed = False

    def __enter__(self) -> ProgressLines:
        return self

    def __exit__(self, *error: object) -> None:
        self._leave = self._leave and error[0] is None  # what failed was not done
        self.close()

    def __iter__(self) -> Iterator[Any]:
        assert self._iterable is not None
        for item in self._iterable:
            yield item
            self.update()
        self.close()

    def update(self, n: float = 1) -> None:
        """Counts n more; a line says so if the last one was long enough ago."""
        self.n += n
        now = time.monotonic()
        if now - self._shown >= SECONDS_BETWEEN_LINES:
            self._shown = now
            self.write(self._line(now))

    def set_description_str(self, text: str) -> None:
        """Changes the label."""
        self._label = text

    set_description = set_description_str

    def set_postfix_str(self, text: str) -> None:
        """Changes what stands behind the figures."""
        self._postfix = text

    def set_postfix(self, figures: Mapping[str, Any]) -> None:
        """Changes the figures of the work itself, by name."""
        self._postfix = ', '.join(f'{name} {value}' for name, value in figures.items())

    def write(self, text: str) -> None:
        """Prints a line among the lines."""
        print(text, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Ends the work; a line says how long it took, if that is wanted."""
        if self._leave and not self._closed:
            self.write(self._line(time.monotonic()))
        self._closed = True

    def _line(self, now: float) -> str:
        done, seconds = self.n - self._initial, now - self._began
        count = f'{self.n:.0f}' if self.total is None else f'{self.n:.0f} of {self.total:.0f}'
        parts = [f'{count} {self._unit}'.strip()]
        rate = done / seconds if seconds > 0 else 0.0
        if rate > 0:
            parts.append(f'{rate:.3g} {self._unit}'.strip() + '/s')
            if self.total is not None and self.total > self.n:
                parts.append(f'{duration((self.total - self.n) / rate)} left')
        if self.total is None or self.n >= self.total:
            parts.append(f'took {duration(seconds)}')
        if self._postfix:
            parts.append(self._postfix)
        return f'{self._label}: {", ".join(parts)}' if self._label else ', '.join(parts)


def duration(seconds: float) -> str:
    """A time for people, with two units at most."""
    if seconds < MINUTE:
        return f'{seconds:.0f} s'
    if seconds < HOUR:
        return f'{seconds // MINUTE:.0f} min {seconds % MINUTE:.0f} s'
    return f'{seconds // HOUR:.0f} h {seconds % HOUR // MINUTE:.0f} min'
