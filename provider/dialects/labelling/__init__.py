"""The labelling task API: rows of a site's database are labelled by patterns, as tasks."""
