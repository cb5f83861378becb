"""What Alembic runs around the steps: on the connection and in the transaction given to it.

No logging is set up and no ini file is read; see :mod:`compute.store.schema`.
"""

from __future__ import annotations

from alembic import context

context.configure(connection=context.config.attributes["connection"])
with context.begin_transaction():
    context.run_migrations()
