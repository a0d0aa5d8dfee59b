"""Bring the catalogues up to date."""

from tests.translations.catalogue import update

print("\n".join(update()))
