"""Where Alembic meets our tables. `registry.schema` runs it, with its connection in the attributes."""

from alembic import context
from sqlmodel import SQLModel

import authz.tables  # noqa: F401 - for its tables
import registry.tables  # noqa: F401 - for its tables

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=SQLModel.metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
