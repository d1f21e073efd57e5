"""The identity API as the official clients use it: tokens, projects, domains."""

from imagewarden.api.v3.directory import list_domains, list_projects
from imagewarden.api.v3.tokens import create_token, revoke_token, validate_token

__all__ = ["HANDLERS"]

HANDLERS = (create_token, validate_token, revoke_token, list_projects, list_domains)
"""Every operation of the v3 API."""
