"""The parameters of both nodes."""
