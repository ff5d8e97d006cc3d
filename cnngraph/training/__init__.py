"""Training, evaluation and latency of a net."""
