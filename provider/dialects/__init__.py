"""The job APIs served. Each is a thin translation between its wire and :mod:`provider.jobs`."""
