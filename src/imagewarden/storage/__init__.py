"""The database: engine, embedded server, migrations."""
