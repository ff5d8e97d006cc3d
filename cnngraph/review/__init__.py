"""The page where a person judges filters, and what follows from what people said."""
