"""Talking to registries: one adapter a kind of registry, one transport under all of them."""
