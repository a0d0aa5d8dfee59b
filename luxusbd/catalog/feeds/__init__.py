"""How the makers of systems tell of their releases: descriptions of their feeds, as data, and what is found in them."""
