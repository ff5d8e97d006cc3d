"""Limits of what goes, the same for every method: accuracy that may be lost, cost that is to be reached."""
