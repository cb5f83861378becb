"""The machines that run containers. :mod:`compute.engines.base` is the contract."""
