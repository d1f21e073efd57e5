"""Migrations, numbered, with the reason in the name."""
