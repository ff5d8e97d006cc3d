"""Filters: which channels depend on each other, slicing them off, and the masked net that is the reference."""
