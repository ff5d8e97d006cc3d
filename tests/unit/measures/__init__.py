"""Measures without a database: their oracles."""
