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

    share_min: int = 32 * MIB
    """From so many missing bytes on several mirrors share a file; below, one after the other is asked."""
    crew: int = 4
    """Connections at once for one file."""
    race: int = 3
    """Mirrors that are tried at once at the start, when nothing is known about them."""
    race_span: int = 4 * MIB
    """Bytes by which a mirror is measured. Over the second half of them slow start is past: their rate comes within
    8 % of what the mirror can do, that of 256 KiB within 50 % (simulated, latency 5 to 200 ms)."""
    race_stagger: float = 0.1
    race_header_timeout: float = 4.0
    race_time: float = 5.0
    gain: float = 0.15
    """By how much another mirror has to speed the file up for being asked."""
    stay: float = 0.05
    """The same for one that is at work already."""
    settle: float = 1.0
    """How long after a mirror came or went the rate of all is judged."""
    probe_interval: float = 60.0
    probe_drop: float = 0.25
    """When the rate of all falls by this much, a mirror that rested or was not asked yet is tried."""
    swap: float = 1.3
    """How much faster than the slowest in a full crew a tried mirror must be to take its place."""
    slow_share: float = 0.1
    """Below this share of the best mirror's rate over `slow_window` a mirror is left."""
    range_size: int = 64 * MIB
    """Bytes that a mirror is given at a time: 3 to 5 % over the optimum, and bounded damage (simulated)."""
    range_time: float = 4.0
    """Seconds that a range lasts at least, up to four times `range_size`: the pause before a request is to cost a fast
    mirror little, too."""
    piece_size: int = 16 * MIB
    """Ranges end at multiples of it."""
    steal_min: int = 4 * MIB
    steal_eta: float = 1.5
    """Seconds; what another mirror will bring sooner, or is less than `steal_min`, is left to it."""
    steal_align: int = 1 * MIB
    endgame_bytes: int = 16 * MIB
    endgame_share: float = 0.02
    """With less than this left the slowest tail is asked for twice."""

    sample: int = 64 * KIB
    samples: int = 3
    """Places of this size by which a mirror's bytes are compared first when a file is wrong."""
    blame_budget: int = 3
    """Times the size of a file that may be fetched to find out whose bytes are wrong."""

    skip_limit: int = 8 * MIB
    """A server without ranges may send this much again before what is missing, even if another mirror is there."""
    read_buffer: int = 1 * MIB
    """Bytes that are taken from the kernel at once, and kept for the reader before the connection waits; asyncio's own
    256 KiB cost a sixth more CPU time a byte."""
    batch_min: int = 1 * MIB
    batch_max: int = 4 * MIB
    """A batch is written once it holds `batch_min`; reading stops while `batch_max` wait for a slower disk."""
    batch_age: float = 1.0
    checkpoint_bytes: int = 64 * MIB
    """Bytes that a power cut costs at most. Syncing begins at half of it; a slower disk then holds the reading up."""
    checkpoint_age: float = 10.0
    """Seconds that it costs at most."""
    window_patience: float = 5.0
    """How long a download that may keep only a part of its file waits for the readers to be done with a quarter of that
    part; after that it goes on with less."""
    space_reserve: int = 16 * MIB
    """Left free on the filesystem."""

    @property
    def sync_after(self) -> int:
        """Unsafe bytes at which a checkpoint begins."""
        return self.checkpoint_bytes // 2

    @property
    def unsafe_limit(self) -> int:
        """Unsafe bytes, also those on their way to the disk, at which reading stops; what is read last comes on top."""
        return max(self.sync_after, self.checkpoint_bytes - 2 * self.batch_max)
