"""The image store, and the recognition of an image by its content."""
