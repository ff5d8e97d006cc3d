"""A model and its data from wherever they are: a name, a folder, a bundle, the database."""
