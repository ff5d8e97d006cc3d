"""Measures: one a file, its Cypher or GDS side and its oracle side by side; :mod:`.registry` names them all."""
