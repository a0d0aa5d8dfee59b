"""`make bench`: figures of the running service."""
