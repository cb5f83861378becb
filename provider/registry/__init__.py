"""The registry: pipelines, datasets, configurations, build files and models by UID.

What tasks are made of and what they make, beyond the life of any job. Rows are in the service's
database, contents are files in the data folder. It knows no wire and no dialect.
"""
