"""The Ocean Provider API (v4), as ocean.py and ocean.js speak it."""
