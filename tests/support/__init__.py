"""What tests share: servers, databases, registries."""
