"""Every time, rate and count that steers a download, in one value, so that tests can shorten them."""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True)
class TransferLimits:
    """How patient a download is. Times in seconds, sizes in bytes, rates in bytes per second."""

    header_timeout: float = 15.0
    """From the start of connecting (TLS included) to the end of the headers, for each hop of a redirect."""
    stall_timeout: float = 15.0
    """Without a single byte of the body while we are reading."""
    slow_window: float = 30.0
    slow_rate: int = 10 * KIB
    """Below this over `slow_window` a server is left, if another one is there to take its place."""
    max_redirects: int = 10
    retry_after_cap: float = 3600.0
    absent_for: float = 3600.0
    """How long a mirror that answered 404 is left alone; mirrors lag behind by about this long."""

    backoff_first: float = 1.0
    """Doubles with every failure without progress, times a jitter of 0.5 to 1.5."""
    backoff_cap: float = 300.0
    attempts: int = 10
    """Failures of one mirror, while no mirror brings a byte, before it is given up."""
    network_attempts: int = 24
    """The same for failures that mean there is no network; about an hour and a half with the other defaults."""

    offline_wait: float = 30.0
    """Seconds to the next try while this machine has no way out; a network that comes back is noticed sooner."""

    lock_patience: float = 5.0
    """How long a download or a discard waits for another one of the same file, which may be putting its bytes away."""
    lock_interval: float = 0.02
    """Between two tries: flock cannot be waited for without a thread."""

    host_connections: int = 2
    total_connections: int = 16

    skip_limit: int = 8 * MIB
    """A server without ranges may send this much again before what is missing, even if another mirror is there."""
    read_buffer: int = 256 * KIB
    batch_min: int = 1 * MIB
    batch_max: int = 4 * MIB
    """A batch is written once it holds `batch_min`; reading stops while `batch_max` wait for a slower disk."""
    batch_age: float = 1.0
    checkpoint_bytes: int = 64 * MIB
    """Bytes that a power cut costs at most. Syncing begins at half of it; a slower disk then holds the reading up."""
    checkpoint_age: float = 10.0
    """Seconds that it costs at most."""
    space_reserve: int = 16 * MIB
    """Left free on the filesystem."""

    @property
    def sync_after(self) -> int:
        """Unsafe bytes at which a checkpoint begins."""
        return self.checkpoint_bytes // 2

    @property
    def unsafe_limit(self) -> int:
        """Unsafe bytes at which reading stops; two batches may still be on their way to the disk then."""
        return max(self.sync_after, self.checkpoint_bytes - 2 * self.batch_max)
