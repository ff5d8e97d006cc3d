"""The main jobs from end to end: a baseline, an ingest, a prune. Each joins the rooms below; none computes anything itself."""
