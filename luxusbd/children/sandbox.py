"""Takes every privilege from the process that reads foreign bytes, before it reads the first one.

Everything goes through prctl(2) and capset(2) in the C library, so that no package is needed. Capabilities belong to
threads: this must run before the first thread starts.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import resource
import signal

from luxusbd.errors import InternalError

# linux/prctl.h
PR_SET_PDEATHSIG = 1
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4
# linux/capability.h: _LINUX_CAPABILITY_VERSION_3, two 32-bit words for each of the three sets
CAPABILITY_VERSION = 0x20080522
CAP_LAST_POSSIBLE = 63

OPEN_FILES = 4096
"""Descriptors: 16 connections, a few files a download, and what the core hands over."""

_libc = ctypes.CDLL(None, use_errno=True)


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def drop_privileges() -> None:
    """Give up all capabilities for good, forbid new ones, and die with the parent.

    Works for uid 0, which keeps access to its own files alone, and for any other uid, which has little to lose.

    Raises:
        InternalError: the kernel refused, or something was left; the process must not go on.
    """
    _prctl(PR_SET_NO_NEW_PRIVS, 1)
    _prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    _drop_bounding_set()
    header = _Header(CAPABILITY_VERSION, 0)
    nothing = (_Sets * 2)()
    # a unit that gives none forbids the call, too
    if any(_capabilities()) and _libc.capset(ctypes.byref(header), nothing) != 0:
        raise InternalError(f"capabilities cannot be dropped: {os.strerror(ctypes.get_errno())}")
    if any(_capabilities()):
        raise InternalError("some capabilities are left after all were dropped")
    # a change of credentials clears this signal, so that it comes last (prctl(2))
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NOFILE, OPEN_FILES)
    os.umask(0o077)


def limit_memory(data: int) -> None:
    """Let this process have at most so many bytes of data (RLIMIT_DATA, setrlimit(2)); it can only become less."""
    _limit(resource.RLIMIT_DATA, data)


def _drop_bounding_set() -> None:
    # without this, uid 0 would get everything back by running a program (capabilities(7))
    for capability in range(CAP_LAST_POSSIBLE + 1):
        try:
            _prctl(PR_CAPBSET_DROP, capability)
        except InternalError:
            code = ctypes.get_errno()
            if code == errno.EINVAL:
                return  # the kernel knows no more
            if code == errno.EPERM and not any(_capabilities()[:2]):
                return  # without CAP_SETPCAP there is nothing that a program could get back
            raise


def _capabilities() -> tuple[int, int, int]:
    header = _Header(CAPABILITY_VERSION, 0)
    sets = (_Sets * 2)()
    if _libc.capget(ctypes.byref(header), sets) != 0:
        raise InternalError(f"capabilities cannot be read: {os.strerror(ctypes.get_errno())}")
    low, high = sets
    return (
        low.effective | high.effective << 32,
        low.permitted | high.permitted << 32,
        low.inheritable | high.inheritable << 32,
    )


def _prctl(option: int, argument: int) -> None:
    zero = ctypes.c_ulong(0)
    ctypes.set_errno(0)
    if _libc.prctl(ctypes.c_int(option), ctypes.c_ulong(argument), zero, zero, zero) != 0:
        raise InternalError(f"prctl({option}, {argument}): {os.strerror(ctypes.get_errno())}")


def _limit(what: int, value: int) -> None:
    _soft, hard = resource.getrlimit(what)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    with contextlib.suppress(ValueError):
        resource.setrlimit(what, (value, value))
