"""Registry to image list, by difference."""
