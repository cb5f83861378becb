"""The whole job as a consumer sees it, on one machine: ``make demo``."""
