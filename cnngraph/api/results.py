"""The types of what the verbs return beside plain JSON, for annotations."""

from __future__ import annotations

from cnngraph.jobs.demo import Outcome
from cnngraph.measures.measure import MeasureResult
from cnngraph.measures.stored_reductions import CarResult

__all__ = ["CarResult", "MeasureResult", "Outcome"]
