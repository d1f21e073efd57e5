"""The queue and its tasks: thin calls into the rooms that do the work."""
