"""A multi-boot stick: layout, partitions, boot files, menu, manifest and the writer."""
