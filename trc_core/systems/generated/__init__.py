"""Generated source of the shipped systems (see `../codegen.py`)."""
