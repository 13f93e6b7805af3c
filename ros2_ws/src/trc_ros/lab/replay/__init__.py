"""`trc replay`: a recorded flight, flown again by a controller of today."""
