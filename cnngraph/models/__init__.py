"""Where a CNN comes from: names, the zoo of small-image nets, weights files."""
