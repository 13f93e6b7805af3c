"""`trc record`: everything of a flight that a replay needs, in a bag."""
