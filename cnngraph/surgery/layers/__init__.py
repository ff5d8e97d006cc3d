"""Layers and blocks: what can go, what joins the ends, and how the layers at a gap get their weights."""
