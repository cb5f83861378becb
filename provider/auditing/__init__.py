"""The audit log: who asked for what, what was decided and why, and what the operator did.

An append-only chain of records in the database. Each record holds the hash of the one before
it, and now and then the provider signs how far the chain has come. What a record speaks of is
committed together with it.
"""
