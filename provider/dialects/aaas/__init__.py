"""The aaas API: named algorithms of registered modules, run as tasks of a caller's namespaces."""
