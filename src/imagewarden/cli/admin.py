"""`imagewarden admin`: projects, users, access keys and tokens."""

from imagewarden.cli.keys import keys
from imagewarden.cli.options import group
from imagewarden.cli.projects import enterprise_projects, projects
from imagewarden.cli.tokens import tokens
from imagewarden.cli.users import users

__all__ = ["admin"]

admin = group("Projects, users, access keys and tokens.")
admin.add_typer(users, name="user")
admin.add_typer(tokens, name="token")
admin.add_typer(keys, name="key")
admin.add_typer(projects, name="project")
admin.add_typer(enterprise_projects, name="enterprise-project")
