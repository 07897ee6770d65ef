"""Measurements: what it costs, against peers, and what faults do to it."""
