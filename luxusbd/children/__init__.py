"""The child processes: starting, watching, the JSON-lines protocol and their entry points."""
