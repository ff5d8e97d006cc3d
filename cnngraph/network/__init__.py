"""Torch model -> Network: layers, positions and arcs, channels and connections, class networks, bundle, spec."""
