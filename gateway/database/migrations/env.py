"""What Alembic runs: our tables, on the connection and in the transaction that `upgrade` has opened."""

from alembic import context

from gateway.database.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
context.run_migrations()
