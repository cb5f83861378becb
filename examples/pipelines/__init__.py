"""The example of the pipeline operation API."""
