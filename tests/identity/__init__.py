"""Tests of users, tokens, keys and signatures."""
