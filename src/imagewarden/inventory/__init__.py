"""The image list: its tables, its filters' meaning, and the queries that answer it."""
