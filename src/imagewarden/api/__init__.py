"""The HTTP API: identity (v3), the image API (v5), health and its own description."""
