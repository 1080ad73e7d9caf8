"""The house's own SQL: tables, migrations, and the door to them. One schema for SQLite and PostgreSQL."""
