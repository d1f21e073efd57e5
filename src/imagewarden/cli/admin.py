"""`imagewarden admin`: projects, users, access keys and tokens."""

from imagewarden.cli.options import group

__all__ = ["app"]

app = group("Projects, users, access keys and tokens.")
