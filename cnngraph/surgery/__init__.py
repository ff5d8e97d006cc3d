"""From a plan to a smaller net: what can go, the cut, the joins, the proof, and saved models."""
