"""The embedded database and its saved models as one file, and back."""

from __future__ import annotations

from cnngraph.jobs.backup import BackedUp, Restored, back_up, has_database, restore

__all__ = ["BackedUp", "Restored", "back_up", "has_database", "restore"]
