"""The systems that users know, each with a tree as its maker lays it out and what has to come of it.

Names, labels, paths and parameters are written down here as they are in the images and in the boot documentation of the
families, and not taken from the recipes.
"""

from __future__ import annotations

from tests.images.systems.archiso import arch_family
from tests.images.systems.casper import casper_family
from tests.images.systems.dracut import dracut_family
from tests.images.systems.installers import anaconda_family, debian_installers
from tests.images.systems.live_boot import live_family
from tests.images.systems.refused import refused
from tests.images.systems.row import Row
from tests.images.systems.single import antix_family, single

ROWS: tuple[Row, ...] = (
    *casper_family(),
    *live_family(),
    *antix_family(),
    *dracut_family(),
    *anaconda_family(),
    *arch_family(),
    *single(),
    *debian_installers(),
    *refused(),
)
