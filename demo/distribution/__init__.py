"""A small OCI distribution server on the standard library alone, for machines without one.

It keeps content in a folder by digest, streams blobs both ways and listens on loopback only. It is made for
demonstrations and tests: content that nothing refers to any more is never collected.
"""

__all__: list[str] = []
