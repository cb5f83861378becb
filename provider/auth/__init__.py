"""Who is asking: signatures, nonces, tokens."""
