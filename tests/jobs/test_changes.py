"""Whether a stick can give room for changes, as the core asks it before a job begins."""

from __future__ import annotations

import pytest

from luxusbd.devices.model import DeviceIdentity, DeviceState
from luxusbd.errors import NotEnoughSpaceError
from luxusbd.images.model import Persistence, Store
from luxusbd.jobs.changes import check_existing
from luxusbd.jobs.views import DeviceView
from luxusbd.stick.model import MIB, StrayRoom
from tests.jobs.disks import plain_stick
from tests.stick import helpers

WAY = Persistence(helpers.entry(parameters=("persistence-path={persistence}",)), Store.FILE, "persistence")
IMAGE = helpers.image(persistence=(WAY,))


def view(*stray: StrayRoom) -> DeviceView:
    identity = DeviceIdentity("usb-stick", 7, 8 << 30)
    return DeviceView(plain_stick(identity), DeviceState.LUXUSB, images=(IMAGE,), free_bytes=20 * MIB, stray=stray)


def test_an_image_that_was_added_again_needs_no_room_for_what_it_has_left() -> None:
    left = StrayRoom(f"persist-{IMAGE.sha256[:16]}", 40 * MIB)
    check_existing(view(left), IMAGE, 40 * MIB)
    with pytest.raises(NotEnoughSpaceError, match=r"when it gets the same size \(41943040 B\)"):
        check_existing(view(left), IMAGE, 44 * MIB)
    # that of another image is of no use to it
    for stray in ((), (StrayRoom("persist-0123456789abcdef", 40 * MIB),)):
        with pytest.raises(NotEnoughSpaceError, match="choose a smaller size"):
            check_existing(view(*stray), IMAGE, 40 * MIB)
