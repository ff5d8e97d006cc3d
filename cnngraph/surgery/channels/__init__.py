"""Filters: which channels go together (a label pass), carving them out, and the masked net that is the reference."""
