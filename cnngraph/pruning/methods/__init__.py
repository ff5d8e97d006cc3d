"""One file a method: see cnngraph.pruning.method for what it holds, and cnngraph.pruning.registry for its line."""
