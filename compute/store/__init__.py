"""Where jobs are kept. :mod:`compute.store.base` is the contract."""
