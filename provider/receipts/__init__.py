"""Receipts: signed statements of what ran, and how to check them."""
