"""One file a step, named ``<revision>_<what>.py``; the greatest revision is the head."""
