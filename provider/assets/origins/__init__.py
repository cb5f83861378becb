"""Where files come from: one module a kind of origin, all behind :class:`base.SourceFile`."""
