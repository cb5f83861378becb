"""The pipeline operation API: preprocess, train and optimise by what is in the registry.

The calls of ``POST …/entrypoint/Router/parse/<key>`` are those of the API's manual; the registry
below ``…/registry`` is this service's own. ``docs/dialects/pipelines.md`` tells which is which.
"""
