"""Bundles: a directory with images, what vouches for them and the part of the catalogue that names them."""
