"""A small algorithm behind the aaas API, and a run through all that the API does."""
