"""What dialects without wallets are built with: their section of the configuration, who may
come in, routes under a mount, forms."""
