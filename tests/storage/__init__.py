"""Tests of the database: the embedded server, other servers, the schema."""
