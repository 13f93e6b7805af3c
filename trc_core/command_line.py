"""What every command shares: a user's mistake is one readable line and exit code 1."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def report_errors(program: str) -> Iterator[None]:
    """Turns the errors that a user can mend into one line on stderr; Ctrl-C exits with 130."""
    try:
        yield
    except (ValueError, OSError) as error:
        print(f'{program}: {error}', file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        print(f'{program}: interrupted', file=sys.stderr)
        raise SystemExit(130) from None
