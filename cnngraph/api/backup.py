"""The embedded database and its saved models as one file, and back."""

from __future__ import annotations

from cnngraph.jobs.backup import BackedUp, back_up
from cnngraph.jobs.restore import Restored, has_database, restore

__all__ = ["BackedUp", "Restored", "back_up", "has_database", "restore"]
