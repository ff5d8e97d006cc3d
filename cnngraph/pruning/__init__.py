"""Methods that decide what goes, one a file; all return the same Plan."""
