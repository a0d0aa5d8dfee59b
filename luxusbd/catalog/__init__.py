"""Which systems exist: schema, layers and lookup."""
