"""The verbs of `trc`, one file each."""
