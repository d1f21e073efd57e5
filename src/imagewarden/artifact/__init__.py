"""One image's bytes: manifests, and what they point to."""
