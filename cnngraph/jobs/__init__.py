"""The main jobs from end to end: a baseline, an ingest, a prune. Each joins the rooms below and computes nothing."""
