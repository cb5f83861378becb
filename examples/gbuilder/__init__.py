"""A small algorithm behind the gBuilder API, and a run through all that the API does."""
