"""Which assets there are, who may use them, and how their bytes are had."""
