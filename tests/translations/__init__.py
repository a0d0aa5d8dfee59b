"""The catalogues of translated texts: collected from the sources, merged, compiled."""
