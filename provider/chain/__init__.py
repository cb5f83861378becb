"""What is known of a chain, and what is asked of it. ``web3`` is imported by ``client`` alone."""
