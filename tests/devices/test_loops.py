"""The guard and the opener on real loop devices."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from luxusbd.devices import guard
from luxusbd.devices.guard import GuardPolicy, identify_again, look_up, open_disk
from luxusbd.devices.machine import read_machine
from luxusbd.devices.model import Device
from luxusbd.devices.sysfs import Roots
from luxusbd.devices.usage import usage_of
from luxusbd.errors import (
    DeviceBusyError,
    DeviceChangedError,
    DeviceError,
    DeviceHasHoldersError,
    DeviceIsPartitionError,
    DeviceIsSwapError,
    DeviceMountedError,
    DeviceNotFoundError,
    DeviceNotRemovableError,
    DeviceReadOnlyError,
    SystemDeviceError,
)
from tests.devices.loops import MIB, Loops, call

pytestmark = pytest.mark.root


@contextmanager
def opened(device: Device, policy: GuardPolicy, *, write: bool = True) -> Iterator[int]:
    fd = open_disk(device, policy, write=write, lock_patience=0)
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def other_process(code: str, *args: str) -> Iterator[int]:
    """Another process that has run `code` and waits; yields its pid."""
    script = f"import fcntl, os, sys\n{code}\nprint('ready', flush=True)\nsys.stdin.read()"
    process = subprocess.Popen(
        [sys.executable, "-c", script, *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        yield process.pid
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()


def test_an_allowed_loop_is_opened_and_written(loops: Loops, policy: GuardPolicy) -> None:
    image = loops.image()
    device = look_up(loops.attach(image), policy)
    assert device.eligible
    assert (device.bus, device.model, device.identity.size) == ("loop", image.name, 16 * MIB)
    assert device.identity.id.endswith(f"-{image.stat().st_ino}")
    with opened(device, policy) as fd:
        assert os.pwrite(fd, b"hello" * 100, 512) == 500
        os.fsync(fd)
        assert os.lseek(fd, 0, os.SEEK_CUR) == 0
        # The claim is let go: a partition tool or mkfs may have it.
        other = os.open(device.node, os.O_RDONLY | os.O_EXCL)
        os.close(other)
    with image.open("rb") as file:
        file.seek(512)
        assert file.read(5) == b"hello"


def test_the_default_policy_refuses_loops(loops: Loops) -> None:
    device = look_up(loops.attach(), GuardPolicy())
    assert device.block_error == DeviceNotRemovableError.dbus_name
    for write in (True, False):
        with pytest.raises(DeviceNotRemovableError):
            open_disk(device, GuardPolicy(), write=write)


def test_a_second_opener_is_told_who_has_it(loops: Loops, policy: GuardPolicy) -> None:
    device = look_up(loops.attach(), policy)
    with opened(device, policy):
        for write in (True, False):
            with pytest.raises(DeviceBusyError, match=rf"locked by .*\({os.getpid()}\)"):
                open_disk(device, policy, write=write, lock_patience=0)
    with opened(device, policy, write=False), opened(device, policy, write=False):
        with pytest.raises(DeviceBusyError):
            open_disk(device, policy, write=True, lock_patience=0)


def test_flock_of_another_process(loops: Loops, policy: GuardPolicy) -> None:
    device = look_up(loops.attach(), policy)
    with other_process("fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX)", device.node) as pid:
        with pytest.raises(DeviceBusyError, match=rf"\({pid}\)") as caught:
            open_disk(device, policy, write=True, lock_patience=0)
        assert type(caught.value) is DeviceBusyError
    with opened(device, policy):
        pass


def test_a_passing_lock_is_waited_for(loops: Loops, policy: GuardPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    device = look_up(loops.attach(), policy)
    holder = os.open(device.node, os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_SH)
    # The holder lets go while the opener waits, exactly in the first pause.
    monkeypatch.setattr("luxusbd.devices.guard.time.sleep", lambda seconds: fcntl.flock(holder, fcntl.LOCK_UN))
    fd = open_disk(device, policy, write=True, lock_patience=60)
    os.close(fd)
    os.close(holder)


def test_exclusive_opening_of_another_process(loops: Loops, policy: GuardPolicy) -> None:
    device = look_up(loops.attach(), policy)
    with other_process("fd = os.open(sys.argv[1], os.O_RDONLY | os.O_EXCL)", device.node) as pid:
        with pytest.raises(DeviceBusyError, match=rf"in use by .*\({pid}\)"):
            open_disk(device, policy, write=True, lock_patience=0)


def test_mounted_partition(loops: Loops, policy: GuardPolicy) -> None:
    node, part = loops.partitioned()
    free = look_up(node, policy)
    assert [(found.node, found.number, found.start) for found in free.partitions] == [(part, 1, MIB)]
    assert free.eligible
    point = loops.mount(part)
    with pytest.raises(DeviceMountedError, match=f"{point}.*unmount"):
        open_disk(free, policy, write=True)
    assert look_up(node, policy).block_error == DeviceMountedError.dbus_name
    with opened(free, policy, write=False) as fd:
        assert os.pread(fd, 8, 512) == b"EFI PART"
        with pytest.raises(OSError) as caught:
            os.pwrite(fd, b"x", 0)
        assert caught.value.errno == errno.EBADF
    call("umount", point)
    with opened(free, policy):
        pass


def test_bind_mount_alone(loops: Loops, policy: GuardPolicy) -> None:
    node, part = loops.partitioned()
    point = loops.mount(part)
    bind = loops.mount(str(point), "--bind")
    call("umount", point)
    assert f"mounted at {bind};" in look_up(node, policy).blocked_reason


def test_mount_in_a_private_namespace(loops: Loops, policy: GuardPolicy) -> None:
    node, part = loops.partitioned()
    point = loops.directory / "private"
    point.mkdir()
    process = subprocess.Popen(
        ["unshare", "-m", "--propagation", "slave", "sh", "-c", 'mount "$0" "$1" && echo ready && cat', part, point],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        error = look_up(node, policy)
        assert error.block_error == DeviceMountedError.dbus_name
        assert f"mounted at {point} in the mount namespace of process {process.pid} (sh)" in error.blocked_reason
    finally:
        process.communicate()


def test_unmounted_lazily_and_still_in_use(loops: Loops, policy: GuardPolicy) -> None:
    node, part = loops.partitioned()
    point = loops.mount(part)
    with (point / "file").open("w"):
        call("umount", "-l", point)
        device = look_up(node, policy)
        assert device.block_error == DeviceMountedError.dbus_name
        assert "the kernel still holds its filesystem" in device.blocked_reason


def test_partition_node(loops: Loops, policy: GuardPolicy) -> None:
    node, part = loops.partitioned()
    with pytest.raises(DeviceIsPartitionError, match=f"choose {node}$"):
        look_up(part, policy)


def test_active_swap(loops: Loops, policy: GuardPolicy) -> None:
    device = look_up(loops.attach(), policy)
    loops.swap(device.node)
    with pytest.raises(DeviceIsSwapError, match=f"swapoff {device.node}"):
        open_disk(device, policy, write=True)


def test_swap_file_on_it(loops: Loops, policy: GuardPolicy) -> None:
    node, part = loops.partitioned(64 * MIB)
    file = loops.mount(part) / "swap"
    file.write_bytes(bytes(8 * MIB))
    file.chmod(0o600)
    loops.swap(str(file))
    device = look_up(node, policy)
    assert device.block_error == SystemDeviceError.dbus_name
    assert f"swap {file} is on it" in device.blocked_reason


def test_loop_on_a_file_on_the_disk(loops: Loops, policy: GuardPolicy) -> None:
    node, part = loops.partitioned()
    inner_file = loops.mount(part) / "inner.img"
    with inner_file.open("wb") as file:
        file.truncate(4 * MIB)
    inner = loops.attach(inner_file)
    for step in ("there", "deleted"):
        usage = usage_of(Path(node).name, read_machine(Roots()))
        assert [layer.name for layer in usage.layers] == [Path(inner).name], step
        inner_file.unlink(missing_ok=True)
    assert look_up(node, policy).block_error == DeviceMountedError.dbus_name


def test_loop_on_a_file_of_a_filesystem_that_was_let_go_of(loops: Loops, policy: GuardPolicy) -> None:
    """The loop device keeps the filesystem, which has no mount any more; the file's path leads nowhere."""
    node, part = loops.partitioned()
    point = loops.mount(part)
    (point / "inner.img").write_bytes(bytes(MIB))
    upper = loops.attach(point / "inner.img")
    call("umount", "-l", point)
    usage = usage_of(Path(node).name, read_machine(Roots()))
    assert Path(upper).name in [layer.name for layer in usage.layers]
    assert not look_up(node, policy).eligible


def test_the_id_survives_the_file(loops: Loops, policy: GuardPolicy) -> None:
    image = loops.image()
    device = look_up(loops.attach(image), policy)
    image.unlink()
    assert identify_again(device, policy) == device


def test_loop_on_a_node_with_another_name(loops: Loops, policy: GuardPolicy) -> None:
    lower = look_up(loops.attach(), policy)
    alias = loops.directory / "alias"
    os.mknod(alias, 0o600 | stat.S_IFBLK, Path(lower.node).stat().st_rdev)
    upper = loops.attach(alias)
    assert f"losetup -d {upper}" in look_up(lower.node, policy).blocked_reason
    # The pattern allows everything in this directory, also this node; it is still a disk under another name.
    assert f"on the disk {lower.node}" in look_up(upper, policy).blocked_reason


def test_loop_on_the_disk_itself(loops: Loops, policy: GuardPolicy) -> None:
    lower = look_up(loops.attach(), policy)
    upper = loops.attach(lower.node)
    with pytest.raises(DeviceHasHoldersError, match=f"losetup -d {upper}"):
        open_disk(lower, policy, write=True)
    allowed = GuardPolicy(allow_loop=(upper,))
    with pytest.raises(DeviceNotRemovableError, match=f"on the disk {lower.node}"):
        open_disk(look_up(upper, allowed), allowed, write=True)


def test_read_only_loop(loops: Loops, policy: GuardPolicy) -> None:
    device = look_up(loops.attach(None, "-r"), policy)
    assert device.read_only
    with pytest.raises(DeviceReadOnlyError):
        open_disk(device, policy, write=True)
    with opened(device, policy, write=False):
        pass


def test_the_disk_of_this_system() -> None:
    root = Path("/").stat().st_dev
    name = Path(f"/sys/dev/block/{os.major(root)}:{os.minor(root)}").resolve()
    disk = name.parent.name if (name / "partition").exists() else name.name
    device = look_up(f"/dev/{disk}", GuardPolicy(allow_loop=("*",)))
    assert device.block_error == SystemDeviceError.dbus_name
    with pytest.raises(SystemDeviceError, match="/ is on it"):
        open_disk(device, GuardPolicy(allow_loop=("*",)), write=True)


def test_attached_to_another_file_between_plan_and_opening(loops: Loops, policy: GuardPolicy) -> None:
    device = look_up(loops.attach(), policy)
    call("losetup", "-d", device.node)
    with pytest.raises(DeviceNotFoundError):
        open_disk(device, policy, write=True)
    call("losetup", device.node, loops.image())
    with pytest.raises(DeviceChangedError, match="choose again"):
        open_disk(device, policy, write=True)
    with pytest.raises(DeviceChangedError):
        identify_again(device, policy)


def test_the_same_file_attached_again_is_another_medium(loops: Loops, policy: GuardPolicy) -> None:
    image = loops.image()
    device = look_up(loops.attach(image), policy)
    call("losetup", "-d", device.node)
    call("losetup", device.node, image)
    assert look_up(device.node, policy).identity.id == device.identity.id
    with pytest.raises(DeviceChangedError):
        open_disk(device, policy, write=True)


def after(monkeypatch: pytest.MonkeyPatch, name: str, act: Callable[[], object]) -> None:
    """Let `act` happen once, right after the opener's next step called `name`."""
    real = getattr(guard, name)

    def step(*args: object, **kwargs: object) -> object:
        result = real(*args, **kwargs)
        monkeypatch.setattr(guard, name, real)
        act()
        return result

    monkeypatch.setattr(guard, name, step)


def test_race_exchanged_after_the_check(loops: Loops, policy: GuardPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    device = look_up(loops.attach(), policy)
    other = loops.image()

    def exchange() -> None:
        call("losetup", "-d", device.node)
        call("losetup", device.node, other)

    after(monkeypatch, "_admit", exchange)
    with pytest.raises(DeviceChangedError, match="disk number"):
        open_disk(device, policy, write=True)


def test_race_mounted_after_the_check(loops: Loops, policy: GuardPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    node, part = loops.partitioned()
    device = look_up(node, policy)
    after(monkeypatch, "_admit", lambda: loops.mount(part))
    # The exclusive probe comes before the second look at the tables.
    with pytest.raises(DeviceBusyError):
        open_disk(device, policy, write=True)


def test_race_mounted_after_the_probe(loops: Loops, policy: GuardPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    node, part = loops.partitioned()
    device = look_up(node, policy)
    after(monkeypatch, "_probe_exclusive", lambda: loops.mount(part))
    with pytest.raises(DeviceMountedError):
        open_disk(device, policy, write=True)


def test_a_node_that_is_no_block_device(loops: Loops, policy: GuardPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    device = look_up(loops.attach(), policy)
    real = os.open
    link = loops.directory / "link"
    link.symlink_to(device.node)

    def through(target: str) -> Callable[..., int]:
        # Only the opening for writing: the description reads the loop's status from the node, too.
        return lambda path, flags: real(target if flags & os.O_RDWR else path, flags)

    monkeypatch.setattr("luxusbd.devices.guard.os.open", through(str(loops.image())))
    with pytest.raises(DeviceChangedError, match="something else"):
        open_disk(device, policy, write=True)
    monkeypatch.setattr("luxusbd.devices.guard.os.open", through(str(link)))
    with pytest.raises(DeviceError, match="symbolic link"):
        open_disk(device, policy, write=True)


def open_files() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def test_descriptors_do_not_leak(loops: Loops, policy: GuardPolicy) -> None:
    device = look_up(loops.attach(), policy)
    before = open_files()
    with opened(device, policy) as fd:
        assert not os.get_inheritable(fd)
        with pytest.raises(DeviceBusyError):
            open_disk(device, policy, write=True, lock_patience=0)
    assert open_files() == before


ORDINARY = """
import sys
from luxusbd.devices.guard import GuardPolicy, look_up, open_disk
from luxusbd.devices.inventory import Inventory, take_inventory
from luxusbd.devices.sysfs import Roots
from luxusbd.errors import NotAuthorizedError

policy = GuardPolicy(allow_loop=(sys.argv[1],))
assert take_inventory(policy, Roots(), Inventory()).devices
device = look_up(sys.argv[1], policy)
assert device.eligible, device
for write in (True, False):
    try:
        open_disk(device, policy, write=write)
    except NotAuthorizedError as error:
        print(error)
"""


def test_an_ordinary_user_sees_disks_and_opens_none(loops: Loops) -> None:
    node = loops.attach()
    done = subprocess.run(
        [sys.executable, "-c", ORDINARY, node],
        user=65534,
        group=65534,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(f"this process may not open {node}") == 2
