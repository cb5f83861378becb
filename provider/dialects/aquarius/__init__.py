"""The metadata cache's API (Aquarius), served from this provider's own index of the chain."""
