"""The command line: one command a file, no logic; :mod:`cnngraph.cli.main` puts them together."""
