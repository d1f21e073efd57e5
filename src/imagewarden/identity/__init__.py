"""Who may ask: users, tokens, access keys, signatures, roles, projects."""
