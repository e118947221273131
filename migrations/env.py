"""Runs the migrations on the connection that ``store.upgrade`` hands over; there is no alembic.ini."""

from alembic import context

from renewal_watch.database.schema import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True, transactional_ddl=False)
context.run_migrations()
