"""The command line: one module a command group, everything heavy imported by the command that needs it."""
