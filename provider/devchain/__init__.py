"""A chain to develop and test on: one process, nothing kept, keys that everybody knows.

The EVM is py-evm, driven through its virtual machine only; blocks, receipts and logs are
kept in plain lists beside it, so that what clients poll for is a look-up. The same
deployment runs over this node and over Anvil, as both answer the same calls. Nothing of
the provider is imported here but its bounded JSON: the chain is a stranger to it.
"""
