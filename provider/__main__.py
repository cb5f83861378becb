"""``python -m provider`` is ``ocean-compute``."""

from provider.cli import main

if __name__ == "__main__":
    main()
