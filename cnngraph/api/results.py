"""The types of what the verbs return beside plain JSON, for annotations."""

from __future__ import annotations

from cnngraph.jobs.demo import Outcome
from cnngraph.measures.measure import MeasureResult

__all__ = ["MeasureResult", "Outcome"]
