"""`import`, `delete`, `download`."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tests.cli import world
from tests.cli.conftest import Run, Spawn
from tests.cli.fake_daemon import FakeDaemon


def test_import(luxusb: Run, daemon: FakeDaemon, iso: Path) -> None:
    digest = hashlib.sha256(iso.read_bytes()).hexdigest()
    result = luxusb("import", iso)
    assert result.code == 0
    lines = result.out.splitlines()
    assert lines[0].startswith("job 1 import my.iso: ")
    assert lines[-2:] == [
        f"Stored my.iso (500 B, trust: none) as image:{digest}",
        "Not in the catalogue: nobody vouches for it.",
    ]
    document = luxusb("import", iso, "--name", "Ours", "--sha256", digest.upper(), "--json").document
    assert document["job"]["state"] == "succeeded"
    assert document["job"]["result"]["name"] == "Ours"


def test_import_with_another_hash(luxusb: Run, daemon: FakeDaemon, iso: Path) -> None:
    result = luxusb("import", iso, "--sha256", "00" * 32, "--json")
    assert result.code == 1
    assert result.document["error"]["name"] == "org.luxusb.Error.VerificationFailed"


def test_import_sends_a_read_only_descriptor_and_closes_its_own(luxusb: Run, daemon: FakeDaemon, iso: Path) -> None:
    before = set(Path("/proc/self/fd").iterdir())
    assert luxusb("import", iso).code == 0
    assert set(Path("/proc/self/fd").iterdir()) == before


def test_delete(luxusb: Run, daemon: FakeDaemon) -> None:
    result = luxusb("delete", "image:a1a1a1", "--yes")
    assert (result.code, result.out) == (0, "Deleted debian.iso.\n")
    assert list(daemon.images) == [f"image:{world.SHA_B}"]
    assert luxusb("delete", "arch.iso", "--yes", "--json").document == {"deleted": f"image:{world.SHA_B}"}


def test_delete_needs_consent(luxusb: Run, daemon: FakeDaemon) -> None:
    for arguments in (["delete", "arch.iso"], ["delete", "arch.iso", "--json"]):
        assert luxusb(*arguments).code == 2
    assert len(daemon.images) == 2


def test_delete_of_an_unknown_or_ambiguous_image(luxusb: Run, daemon: FakeDaemon) -> None:
    unknown = luxusb("delete", "arhc.iso", "--yes")
    assert unknown.code == 1
    assert "Did you mean arch.iso?" in unknown.err
    sha256 = "a1" * 31 + "ff"
    daemon.do(lambda: daemon.images.update({f"image:{sha256}": world.stored("other.iso", sha256)}))
    ambiguous = luxusb("delete", "image:a1a1a1", "--yes")
    assert "is not one image" in ambiguous.err
    assert ambiguous.code == 2
    assert len(daemon.images) == 3


def test_an_image_in_use_is_not_deleted(luxusb: Run, daemon: FakeDaemon) -> None:
    daemon.errors["DeleteImage"] = ("org.luxusb.Error.ImageInUse", "Job 4 needs debian.iso.")
    result = luxusb("delete", "debian.iso", "--yes")
    assert result.code == 1
    assert "  why: Job 4 needs debian.iso." in result.err


def test_download(luxusb: Run, daemon: FakeDaemon) -> None:
    daemon.resumed = 100 * 1024**2
    result = luxusb("download", "debian-live@12.5/xfce", "distro:ubuntu", "--priority", "5", "--limit-rate", "2MiB")
    assert result.code == 0, result.err
    assert [call.body[0] for call in daemon.called("Download")] == [
        "distro:debian-live@12.5/xfce",
        "distro:ubuntu",
    ]
    options = daemon.called("Download")[0].body[1]
    assert {key: value.value for key, value in options.items()} == {"priority": 5, "bandwidth": 2 * 1024**2}
    lines = result.out.splitlines()
    assert lines[-2:] == [
        f"Stored debian-live@12.5/xfce.iso (3 GiB, trust: signed) as image:{world.SHA_A}",
        f"Stored ubuntu.iso (3 GiB, trust: signed) as image:{world.SHA_A}",
    ]
    assert any("job 1 download debian-live@12.5/xfce: " in line and "(100 MiB resumed)" in line for line in lines)
    assert len(lines) == len(set(lines))


def test_download_json(luxusb: Run, daemon: FakeDaemon) -> None:
    document = luxusb("download", "ubuntu", "debian-live", "--json").document
    assert [job["state"] for job in document["jobs"]] == ["succeeded", "succeeded"]


def test_nothing_is_downloaded_when_one_name_is_unknown(luxusb: Run, daemon: FakeDaemon) -> None:
    result = luxusb("download", "debian-live", "ubunut")
    assert result.code == 1
    assert "Did you mean ubuntu?" in result.err
    assert daemon.called("Download") == []


def test_a_guess_of_the_daemon_is_not_repeated(luxusb: Run, daemon: FakeDaemon) -> None:
    name = "org.luxusb.Error.DistributionNotFound"
    daemon.errors["GetDistribution"] = (name, "There is no ubunut; did you mean ubuntu?")
    assert luxusb("info", "ubunut").err.count("id you mean") == 1


def test_a_refused_download_leaves_no_doubt_about_the_others(luxusb: Run, daemon: FakeDaemon) -> None:
    daemon.errors["Download"] = ("org.luxusb.Error.LimitExceeded", "You have 8 downloads.")
    result = luxusb("download", "debian-live", "ubuntu", "--json")
    assert result.code == 1
    assert result.document["error"]["name"] == "org.luxusb.Error.LimitExceeded"
    assert len(daemon.called("Download")) == 1


def test_download_without_waiting(luxusb: Run, daemon: FakeDaemon) -> None:
    daemon.auto = False
    result = luxusb("download", "ubuntu", "--no-wait")
    assert (result.code, result.out) == (
        0,
        "Job 1 started: download ubuntu. Watch it with `luxusb watch 1`.\n",
    )
    document = luxusb("download", "ubuntu", "--no-wait", "--json").document
    assert document["jobs"][0]["state"] == "running"
    assert document["jobs"][0]["path"] == "/org/luxusb/jobs/_2"


def test_a_failed_download(luxusb: Run, daemon: FakeDaemon) -> None:
    daemon.fail_with = ("org.luxusb.Error.NetworkFailed", "No mirror gave it:\nmirror a: 404\nmirror b: timeout")
    result = luxusb("download", "ubuntu")
    assert result.code == 1
    assert result.err.splitlines() == [
        "luxusb: Job 1 (download ubuntu) failed",
        "  why: No mirror gave it:",
        "    mirror a: 404",
        "    mirror b: timeout",
        "  what to do: Check the network and run the command again; downloaded bytes are kept.",
    ]
    failed = luxusb("download", "ubuntu", "--json")
    assert failed.code == 1
    assert failed.document["error"]["name"] == "org.luxusb.Error.NetworkFailed"
    assert failed.document["jobs"][0]["state"] == "failed"


def test_pin_and_unpin(luxusb: Run, daemon: FakeDaemon) -> None:
    assert luxusb("pin", "image:a1a1a1").out == "debian.iso is kept.\n"
    assert daemon.called("PinImage")[0].body[:2] == [f"image:{world.SHA_A}", True]
    assert "pinned" in luxusb("images").out.splitlines()[1]
    listed = {image["name"]: image for image in luxusb("images", "--json").document["images"]}
    assert (listed["debian.iso"]["pinned"], listed["arch.iso"]["pinned"]) == (True, False)
    assert (listed["arch.iso"]["last_used"], listed["arch.iso"]["owners"]) == (1_700_086_400, None)
    unpinned = luxusb("unpin", "debian.iso", "--json").document
    assert unpinned == {"image": f"image:{world.SHA_A}", "pinned": False}
    assert luxusb("unpin", "debian.iso").out == "debian.iso may be removed when space is needed.\n"
    daemon.errors["DeleteImage"] = ("org.luxusb.Error.ImagePinned", "Debian is kept.")
    assert "`luxusb unpin IMAGE`" in luxusb("delete", "debian.iso", "--yes").err


def test_prune_shows_what_goes_and_removes_exactly_that(luxusb: Run, daemon: FakeDaemon) -> None:
    shown = luxusb("images", "--prune", "--dry-run", "--older-than", "30d")
    assert shown.code == 0
    rows = shown.out.splitlines()
    assert [row.split("  ")[0].strip() for row in rows] == ["IMAGE", world.SHA_A[:12], "c3" * 6]
    assert "can be downloaded again" in rows[1]
    assert "unfinished download" in rows[2]
    (asked,) = daemon.called("PruneImages")
    assert {key: value.value for key, value in asked.body[0].items()} == {"dry_run": True, "older_than": 30 * 86400}
    assert len(daemon.images) == 2

    done = luxusb("images", "--prune", "--all", "--yes")
    assert done.out.splitlines()[-1] == "Removed 3 (9 GiB)."
    assert "imported, maybe the only copy" in done.out
    options = {key: value.value for key, value in daemon.called("PruneImages")[-1].body[0].items()}
    assert options == {"imports": True, "only": [world.SHA_A, "c3" * 32, world.SHA_B]}
    assert daemon.images == {}
    assert luxusb("images", "--prune", "--yes").out == "There is nothing to remove.\n"


def test_prune_as_json(luxusb: Run, daemon: FakeDaemon) -> None:
    document = luxusb("images", "--prune", "--dry-run", "--json").document
    assert document["dry_run"] is True
    assert [(one["kind"], one["size"]) for one in document["pruned"]] == [
        ("image", 3 * world.GIB),
        ("partial", 3 * world.GIB),
    ]
    assert luxusb("images", "--prune", "--yes", "--json").document == {**document, "dry_run": False}
    assert luxusb("images", "--prune", "--yes", "--json").document == {"pruned": [], "dry_run": False}


def test_prune_needs_consent(luxusb: Run, daemon: FakeDaemon, spawn: Spawn) -> None:
    for arguments in (["images", "--prune"], ["images", "--prune", "--json"]):
        assert luxusb(*arguments).code == 2
    assert daemon.called("PruneImages") == []
    for answer, code, left in (("n\n", 5, 2), ("y\n", 0, 1)):
        command = spawn("images", "--prune", terminal=True)
        command.wait_for("Remove all of these (6 GiB)? [y/N] ")
        command.type(answer)
        assert command.finish() == code
        assert len(daemon.images) == left


def test_options_of_prune_alone_do_nothing(luxusb: Run, daemon: FakeDaemon) -> None:
    for option in (["--dry-run"], ["--all"], ["--yes"], ["--older-than", "1d"]):
        result = luxusb("images", *option)
        assert (result.code, "Add --prune." in result.err) == (2, True)
    for wrong in ("soon", "-1d", "3y", "9999999999d"):
        assert luxusb("images", "--prune", "--older-than", wrong).code == 2
    assert daemon.calls == []
