"""Nets leave: one file that other programs open, compared there with the net that was stored."""
