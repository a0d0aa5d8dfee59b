"""`make boot-matrix`: real systems from Debian's archive on sticks, booted under every firmware, and what was seen."""
