"""SQLite and PostgreSQL: engine, tables, views, copies."""
