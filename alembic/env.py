"""Where Alembic meets our tables. Run by `registry.migrations`-aware code with a connection in its attributes."""

from alembic import context
from sqlmodel import SQLModel

import registry.tables  # noqa: F401 - imported for their tables, as is the line above

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=SQLModel.metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
