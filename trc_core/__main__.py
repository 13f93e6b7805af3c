"""`python -m trc_core` is `trc`."""

from trc_core.cli import main

main()
