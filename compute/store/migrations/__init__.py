"""The schema of the ground floor, step by step. ``versions`` holds one file a step."""
