"""Downloads against a local server that misbehaves, archives that attack, processes that die."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import stat
import subprocess
import sys
import tarfile
import time
import types
import warnings
import zipfile
from collections import namedtuple
from pathlib import Path

import pytest

from course_utils import downloads, manifests
from course_utils.downloads import archives, disk
from course_utils.downloads.archives import BadArchive
from course_utils.downloads.folders import MARKER
from course_utils.errors import DataError, DownloadError, ManifestError
from course_utils.manifests import Archive, Manifest, Members
from tests.local_server import Answer, LocalServer
from tests.toy_dataset import BODY, CASES, FILES, NOISE, fill, manifest_for, sha256, zip_of

QUICK = downloads.Patience(connect=2, read=0.3, slowest=2000, attempts=2, pause=0.01)


def get(manifest: Manifest, root: Path, **options) -> Path:
    defaults = {"progress": False, "notify": lambda line: None, "patience": QUICK}
    return downloads.get(manifest, root, **(defaults | options))


def assert_whole(folder: Path) -> None:
    for name, content in FILES.items():
        assert (folder / name).read_bytes() == content
    left = {path.name for path in (folder.parent / "downloads").iterdir()}
    assert left <= {"record.json", ".record.json.lock", ".toy.lock"}


def assert_nothing_made(root: Path) -> None:
    """No dataset folder, no staging folder, no file under the archive's own name."""
    assert not (root / "toy").exists()
    assert not list((root / "downloads").glob("*.unpacking"))
    assert not (root / "downloads" / "toy" / "toy.zip").exists()


# --- one file, many servers -------------------------------------------------------------------


def test_a_plain_download_is_unpacked_and_asked_for_once(server, tmp_path):
    manifest = manifest_for(server.put("/a", Answer(BODY)))
    assert_whole(get(manifest, tmp_path))
    assert get(manifest, tmp_path) == tmp_path / "toy"
    assert server.asked("/a") == 1


def test_a_broken_download_goes_on_where_it_broke(server, tmp_path):
    url = server.put("/a", Answer(BODY, cut_at=50_000), Answer(BODY))
    assert_whole(get(manifest_for(url), tmp_path))
    assert server.seen[1].headers["Range"] == "bytes=50000-"
    assert server.seen[1].headers["If-Range"] == '"one"'


def test_progress_between_failures_keeps_the_download_alive(server, tmp_path, monkeypatch):
    monkeypatch.setattr("course_utils.downloads.transfer._CHUNK", 10_000)
    cuts = [Answer(BODY, cut_at=20_000) for _ in range(4)]
    assert_whole(get(manifest_for(server.put("/a", *cuts, Answer(BODY))), tmp_path))
    assert server.asked("/a") == 5


@pytest.mark.parametrize(
    "second",
    [
        pytest.param(Answer(BODY, etag='"two"'), id="file changed meanwhile"),
        pytest.param(Answer(BODY, ranges=False), id="Range ignored"),
        pytest.param(Answer(BODY, chunked=True, ranges=False), id="chunked, Range ignored"),
    ],
)
def test_an_answer_from_the_start_replaces_the_part(server, tmp_path, second):
    other = bytes(len(BODY))
    url = server.put("/a", Answer(other, cut_at=50_000), second)
    assert_whole(get(manifest_for(url), tmp_path))


def test_without_a_validator_nothing_is_stitched(server, tmp_path):
    url = server.put("/a", Answer(bytes(len(BODY)), etag=None, cut_at=50_000), Answer(BODY))
    assert_whole(get(manifest_for(url), tmp_path))
    assert "Range" not in server.seen[1].headers


def test_a_wrong_range_is_thrown_away(server, tmp_path):
    url = server.put("/a", Answer(BODY, cut_at=50_000), Answer(BODY, range_start=7), Answer(BODY))
    patience = downloads.Patience(read=0.3, attempts=3, pause=0.01)
    assert_whole(get(manifest_for(url), tmp_path, patience=patience))
    assert "Range" not in server.seen[2].headers


def test_a_stitched_file_with_a_wrong_checksum_is_fetched_anew(server, tmp_path):
    url = server.put("/a", Answer(bytes(len(BODY)), cut_at=50_000), Answer(BODY))
    assert_whole(get(manifest_for(url), tmp_path))
    assert server.asked("/a") == 3


def test_a_part_after_the_end_is_begun_again(server, tmp_path):
    url = server.put("/a", Answer(BODY, cut_at=50_000), Answer(status=416), Answer(BODY))
    patience = downloads.Patience(read=0.3, attempts=3, pause=0.01)
    assert_whole(get(manifest_for(url), tmp_path, patience=patience))


@pytest.mark.parametrize(
    ("bad", "asked", "reason"),
    [
        pytest.param(Answer(status=404), 1, "HTTP 404 Not Found", id="404"),
        pytest.param(Answer(status=403), 1, "HTTP 403 Forbidden", id="403"),
        pytest.param(Answer(status=429), 2, "HTTP 429 Too Many Requests, 2 times", id="429"),
        pytest.param(Answer(status=500), 2, "HTTP 500 Internal Server Error, 2 times", id="500"),
        pytest.param(Answer(status=503), 2, "HTTP 503 Service Unavailable, 2 times", id="503"),
        pytest.param(Answer(BODY, stall_at=0), 2, "the server stalled", id="stall before"),
        pytest.param(Answer(BODY, stall_at=999, etag=None), 2, "the server stalled", id="stall"),
        pytest.param(Answer(BODY, drip=0.02, etag=None), 2, "bytes a second", id="drip"),
        pytest.param(Answer(BODY[:-9], claim=len(BODY), etag=None), 2, "broke off", id="short"),
        pytest.param(Answer(BODY, chunked=True, cut_at=999, etag=None), 2, "broke off", id="chunk"),
        pytest.param(Answer(BODY[:-9]), 1, "whose checksum is not", id="wrong body"),
        pytest.param(
            Answer(b"<p>Log in</p>", kind="text/html; charset=utf-8"), 1, "a web page", id="html"
        ),
        pytest.param(Answer(b"\n<!DOCTYPE HTML><p>Log in"), 1, "a web page", id="hidden html"),
        pytest.param(Answer(status=302, location="/bad"), 11, "in a circle", id="redirect loop"),
    ],
)
def test_a_bad_mirror_is_named_and_the_next_one_used(server, tmp_path, bad, asked, reason):
    url = server.put("/bad", bad)
    with pytest.raises(DownloadError) as caught:
        get(manifest_for(url), tmp_path / "alone")
    line = str(caught.value)
    assert f"{url} " in line
    assert reason in line
    assert "toy.zip" in line
    assert "\n" not in line
    assert str(tmp_path / "alone" / "downloads" / "toy") in line
    assert server.asked("/bad") == asked
    assert_nothing_made(tmp_path / "alone")

    good = server.put("/good", Answer(BODY))
    assert_whole(get(manifest_for(url, good), tmp_path / "two"))


def test_a_refused_connection_is_one_line(tmp_path):
    with LocalServer() as closed:
        url = closed.put("/a", Answer(BODY))
    with pytest.raises(DownloadError, match="the connection failed or broke off, 2 times"):
        get(manifest_for(url), tmp_path)


@pytest.mark.parametrize("length", [len(BODY) - 1, len(BODY) + 1])
def test_another_length_than_the_manifest_says_is_refused(server, tmp_path, length):
    manifest = manifest_for(server.put("/a", Answer(BODY)), archive={"bytes": length})
    with pytest.raises(DownloadError, match=f"has {len(BODY)} bytes, the manifest says {length}"):
        get(manifest, tmp_path)
    assert_nothing_made(tmp_path)


def test_an_endless_answer_is_cut_at_the_known_length(server, tmp_path):
    url = server.put("/a", Answer(BODY + bytes(100_000), chunked=True))
    with pytest.raises(DownloadError, match="gave more than"):
        get(manifest_for(url, archive={"bytes": len(BODY)}), tmp_path)


def test_fewer_bytes_than_the_manifest_says_are_not_taken_for_whole(server, tmp_path):
    url = server.put("/a", Answer(BODY[:-9], chunked=True))
    with pytest.raises(DownloadError, match=f"ended after {len(BODY) - 9} of {len(BODY)} bytes"):
        get(manifest_for(url, archive={"bytes": len(BODY)}), tmp_path)
    assert_nothing_made(tmp_path)


def test_retry_after_is_waited_for_up_to_the_longest_pause(server, tmp_path, monkeypatch):
    naps = []
    monkeypatch.setattr("course_utils.downloads.transfer.time.sleep", naps.append)
    url = server.put("/a", Answer(status=503), Answer(BODY))
    get(manifest_for(url), tmp_path)
    assert naps == [QUICK.pause]


# --- checksums, licence, hand-made files, room --------------------------------------------------


def test_the_first_checksum_is_recorded_and_holds_from_then_on(server, tmp_path):
    unknown = manifest_for(server.put("/a", Answer(BODY)), checksum=manifests.RECORD)
    folder = get(unknown, tmp_path)
    record = json.loads((tmp_path / "downloads" / "record.json").read_text())
    assert record["checksums"] == {"toy": {"toy.zip": sha256(BODY)}}
    folder.rename(tmp_path / "elsewhere")
    server.put("/a", Answer(zip_of(FILES | {"cases/new.bin": b"new"})))
    with pytest.raises(DownloadError, match=r"whose checksum is not sha256.*record\.json"):
        get(unknown, tmp_path)


def test_a_download_that_is_no_archive_records_nothing(server, tmp_path):
    unknown = manifest_for(server.put("/a", Answer(BODY[:-30])), checksum=manifests.RECORD)
    with pytest.raises(DownloadError, match="no whole zip file"):
        get(unknown, tmp_path)
    assert_nothing_made(tmp_path)
    assert "toy.zip" not in (tmp_path / "downloads" / "record.json").read_text()


def test_other_numbers_than_promised_are_told_and_not_recorded(server, tmp_path):
    fewer = zip_of({"cases/0.bin": b"0"})
    told = []
    unknown = manifest_for(server.put("/a", Answer(fewer)), checksum=manifests.RECORD)
    get(unknown, tmp_path, notify=told.append)
    assert "1 of 3 cases" in told[-1]
    assert "toy.zip" not in (tmp_path / "downloads" / "record.json").read_text()


def test_an_archive_of_something_else_is_refused(server, tmp_path):
    other = zip_of({"readme.txt": b"nothing here"})
    unknown = manifest_for(server.put("/a", Answer(other)), checksum=manifests.RECORD)
    with pytest.raises(DownloadError, match="holds none of: cases"):
        get(unknown, tmp_path)
    assert not (tmp_path / "toy").exists()


def test_the_licence_is_shown_once_before_the_first_byte(server, tmp_path):
    url = server.put("/a", Answer(status=404))
    told = []
    for _ in range(2):
        with pytest.raises(DownloadError):
            get(
                manifest_for(url), tmp_path, notify=lambda line: told.append((line, server.seen[:]))
            )
    assert len(told) == 1
    text, asked_before = told[0]
    assert "CC0" in text
    assert "not allowed: selling it" in text
    assert not asked_before


def test_without_consent_nothing_is_asked_for(server, tmp_path):
    manifest = manifest_for(server.put("/a", Answer(BODY)))
    with pytest.raises(DownloadError, match="licence of toy was not accepted"):
        get(manifest, tmp_path, confirm=lambda text: False)
    assert not server.seen
    assert_whole(get(manifest, tmp_path, confirm=lambda text: True))


def test_a_file_put_there_by_hand_is_used(server, tmp_path):
    place = tmp_path / "downloads" / "toy" / "toy.zip"
    place.parent.mkdir(parents=True)
    place.write_bytes(BODY)
    assert_whole(get(manifest_for(server.put("/a", Answer(status=404))), tmp_path))
    assert not server.seen


@pytest.mark.parametrize(
    ("content", "checksum", "size", "line"),
    [
        (BODY[:-1], sha256(BODY), None, "has the checksum sha256:"),
        (BODY[:-1], sha256(BODY), len(BODY), f"has {len(BODY) - 1} bytes, expected {len(BODY)}"),
        (BODY[:-30], manifests.RECORD, None, "is no whole zip file"),
    ],
)
def test_a_wrong_file_put_there_by_hand_is_named(tmp_path, content, checksum, size, line):
    place = tmp_path / "downloads" / "toy" / "toy.zip"
    place.parent.mkdir(parents=True)
    place.write_bytes(content)
    manifest = manifest_for("https://example.org/a", checksum=checksum, archive={"bytes": size})
    with pytest.raises(DownloadError) as caught:
        get(manifest, tmp_path)
    assert str(place) in str(caught.value)
    assert line in str(caught.value)


def test_a_full_disk_is_told_before_anything_is_asked(server, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda path: usage(10, 9, 1))
    manifest = manifest_for(server.put("/a", Answer(BODY)), archive={"about_bytes": 10**9})
    with pytest.raises(DownloadError, match=r"needs 2\.07 GB of free disk, found 0\.00 GB"):
        get(manifest, tmp_path)
    assert not server.seen


def test_a_root_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(DownloadError, match="cannot be written"):
        get(manifest_for("https://example.org/a"), tmp_path / "file")


def test_what_is_already_there_is_never_written_over(server, tmp_path):
    manifest = manifest_for(server.put("/a", Answer(BODY)))
    part = tmp_path / "part" / "toy" / "cases" / "0.bin"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"mine")
    with pytest.raises(DataError, match="a part of the release, 1 of 3 cases"):
        get(manifest, tmp_path / "part")
    other = tmp_path / "other" / "toy" / "notes.txt"
    other.parent.mkdir(parents=True)
    other.write_text("mine")
    with pytest.raises(DataError, match="is in the way"):
        get(manifest, tmp_path / "other")
    assert part.read_bytes() == b"mine"
    assert other.read_text() == "mine"
    assert not server.seen


def test_a_record_that_is_no_json_is_named(tmp_path):
    record = tmp_path / "downloads" / "record.json"
    record.parent.mkdir()
    record.write_text("{")
    with pytest.raises(DataError, match=r"record\.json cannot be read as JSON"):
        get(manifest_for("https://example.org/a"), tmp_path)


# --- processes ---------------------------------------------------------------------------------

_CHILD = """
import functools, sys, time
from pathlib import Path
from course_utils import downloads
from course_utils.downloads import archives
from tests.test_downloads import get
from tests.toy_dataset import manifest_for
if sys.argv[3] == "slowly":
    write = archives.Writer.write
    def slowly(self, *args):
        write(self, *args)
        Path(sys.argv[2], "unpacking").touch()
        time.sleep(60)
    archives.Writer.write = slowly
get(manifest_for(sys.argv[1]), Path(sys.argv[2]), notify=functools.partial(print, flush=True),
    patience=downloads.Patience(read=120))
"""


def child(url: str, root: Path, how: str = "normally") -> subprocess.Popen:
    repository = Path(__file__).resolve().parents[1]
    return subprocess.Popen(
        [sys.executable, "-c", _CHILD, url, str(root), how],
        cwd=repository,
        env=os.environ | {"PYTHONPATH": str(repository)},
        stdout=subprocess.PIPE,
        text=True,
    )


def wait_for(happened, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)


def kill(process: subprocess.Popen) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_killed_while_downloading_leaves_only_a_part_that_is_continued(server, tmp_path):
    url = server.put("/a", Answer(BODY, stall_at=50_000), Answer(BODY))
    part = tmp_path / "downloads" / "toy" / "toy.zip.part"
    process = child(url, tmp_path)
    wait_for(lambda: part.exists() and part.stat().st_size == 50_000)
    kill(process)
    assert_nothing_made(tmp_path)
    assert downloads.find(manifest_for(url), tmp_path) is None
    assert_whole(get(manifest_for(url), tmp_path))
    assert server.seen[1].headers["Range"] == "bytes=50000-"


def test_killed_while_unpacking_leaves_nothing_that_is_taken_for_whole(server, tmp_path):
    url = server.put("/a", Answer(BODY))
    process = child(url, tmp_path, "slowly")
    wait_for((tmp_path / "unpacking").exists)
    kill(process)
    assert not (tmp_path / "toy").exists()
    assert list((tmp_path / "downloads" / "toy.unpacking").rglob("*.bin"))
    assert_whole(get(manifest_for(url), tmp_path))
    assert server.asked("/a") == 1


def test_killed_before_its_archive_was_dropped_the_next_call_drops_it(server, tmp_path):
    manifest = manifest_for(server.put("/a", Answer(BODY)))
    folder = get(manifest, tmp_path)
    fill(tmp_path / "downloads" / "toy", {"toy.zip": BODY})
    assert get(manifest, tmp_path) == folder
    assert_whole(folder)
    assert server.asked("/a") == 1


def test_of_two_processes_the_second_waits_and_finds_it_done(server, tmp_path):
    url = server.put("/a", Answer(BODY, stall_at=50_000), Answer(BODY))
    first = child(url, tmp_path)
    wait_for(lambda: server.asked("/a") == 1)
    second = child(url, tmp_path)
    assert "waiting for it" in second.stdout.readline()
    assert server.asked("/a") == 1
    kill(first)
    assert second.wait(60) == 0
    second.stdout.close()
    assert_whole(tmp_path / "toy")
    assert server.asked("/a") == 2


# --- archives that attack ------------------------------------------------------------------------


def zip_entry(name: str, content: bytes = b"x", mode: int = 0, flags: int = 0):
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    info.flag_bits |= flags
    return info, content


def write_zip(path: Path, *entries) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for info, content in entries:
            target.writestr(info, content, zipfile.ZIP_DEFLATED)


def tar_entry(name: str, content: bytes = b"x", kind: bytes = tarfile.REGTYPE, link: str = ""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    info.size = len(content) if kind == tarfile.REGTYPE else 0
    return info, content


def write_tar(path: Path, *entries) -> None:
    with tarfile.open(path, "w:gz") as target:
        for info, content in entries:
            target.addfile(info, io.BytesIO(content) if info.isreg() else None)


def unpack(path: Path, target: Path, kind: str, members=()) -> list:
    target.mkdir()
    archive = Archive(
        file="a", urls=[], checksum=manifests.RECORD, unpack=kind,
        unpacked_bytes_max=100_000, members=list(members),
    )  # fmt: skip
    return archives.unpack(path, archive, target)


ATTACKS = {
    "absolute": ([zip_entry("/etc/x")], "outside"),
    "parent": ([zip_entry("a/../../x")], "outside"),
    "backslash": ([zip_entry("..\\x")], "outside"),
    "drive": ([zip_entry("C:x")], "outside"),
    "control character": ([zip_entry("a\nb")], "outside"),
    "link": ([zip_entry("a", b"/etc/passwd", stat.S_IFLNK | 0o777)], "link or a device"),
    "device": ([zip_entry("a", b"", stat.S_IFCHR | 0o666)], "link or a device"),
    "fifo": ([zip_entry("a", b"", stat.S_IFIFO | 0o666)], "link or a device"),
    "twice": ([zip_entry("a"), zip_entry("a")], "twice"),
    "twice but for case": ([zip_entry("A.png"), zip_entry("a.PNG")], "twice"),
    "twice but for a dot": ([zip_entry("a"), zip_entry("./a")], "twice"),
    "file and folder": ([zip_entry("a"), zip_entry("a/b")], "damaged"),
    "bomb": ([zip_entry("a", bytes(200_000))], "more than the 100000 bytes"),
    "many small": ([zip_entry(f"{i}", bytes(30_000)) for i in range(4)], "more than the 100000"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_zip_that_attacks_is_refused(tmp_path, attack):
    entries, reason = ATTACKS[attack]
    write_zip(tmp_path / "a.zip", zip_entry("harmless"), *entries)
    with pytest.raises(BadArchive, match=reason) as caught:
        unpack(tmp_path / "a.zip", tmp_path / "target", "zip")
    assert "\n" not in str(caught.value)
    assert {path.name for path in tmp_path.iterdir()} == {"a.zip", "target"}


def test_an_encrypted_zip_is_refused(tmp_path):
    write_zip(tmp_path / "a.zip", zip_entry("secret"))
    content = bytearray((tmp_path / "a.zip").read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(BadArchive, match="encrypted"):
        unpack(tmp_path / "a.zip", tmp_path / "target", "zip")


def test_a_zip_that_declares_less_than_it_holds_is_refused(tmp_path):
    write_zip(tmp_path / "a.zip", zip_entry("bomb", bytes(5_000_000)))
    content = bytearray((tmp_path / "a.zip").read_bytes())
    at = content.index(b"PK\x01\x02") + 24
    content[at : at + 4] = (10).to_bytes(4, "little")
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(BadArchive):
        unpack(tmp_path / "a.zip", tmp_path / "target", "zip")
    assert sum(path.stat().st_size for path in (tmp_path / "target").iterdir()) <= 100_000


def test_the_bound_holds_for_the_bytes_that_come_out(tmp_path):
    writer = archives.Writer(tmp_path, bytes_max=1000)
    with pytest.raises(archives.Unsafe, match="more than the 1000 bytes"):
        writer.write("a", io.BytesIO(bytes(1001)))


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        pytest.param([tar_entry("/x")], "outside", id="absolute"),
        pytest.param([tar_entry("../x")], "outside", id="parent"),
        pytest.param([tar_entry("a", kind=tarfile.SYMTYPE, link="/etc")], "link", id="symlink"),
        pytest.param([tar_entry("a", kind=tarfile.LNKTYPE, link="../x")], "link", id="hard link"),
        pytest.param([tar_entry("a", kind=tarfile.FIFOTYPE)], "device", id="fifo"),
        pytest.param([tar_entry("a", kind=tarfile.CHRTYPE)], "device", id="device"),
        pytest.param([tar_entry("a"), tar_entry("a")], "twice", id="twice"),
        pytest.param([tar_entry("a", bytes(200_000))], "more than the 100000", id="bomb"),
    ],
)
def test_a_tar_that_attacks_is_refused(tmp_path, entries, reason):
    write_tar(tmp_path / "a.tar.gz", tar_entry("harmless"), *entries)
    with pytest.raises(BadArchive, match=reason):
        unpack(tmp_path / "a.tar.gz", tmp_path / "target", "tar")
    assert {path.name for path in tmp_path.iterdir()} == {"a.tar.gz", "target"}


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_truncated_archive_is_damaged(tmp_path, kind):
    path = tmp_path / "a"
    writer, entry = {"zip": (write_zip, zip_entry), "tar": (write_tar, tar_entry)}[kind]
    writer(path, entry("a", NOISE))
    path.write_bytes(path.read_bytes()[:-20_000])
    with pytest.raises(BadArchive, match="damaged"):
        unpack(path, tmp_path / "target", kind)


def test_members_are_chosen_and_renamed_by_the_first_rule_that_fits(tmp_path):
    write_zip(
        tmp_path / "a.zip", zip_entry("top/x/1.txt"), zip_entry("top/y/2.txt"),
        zip_entry("__MACOSX/top/x/._1.txt"),
    )  # fmt: skip
    rules = [Members(prefix="top/x/", into="x/"), Members(prefix="z", into="")]
    rows = unpack(tmp_path / "a.zip", tmp_path / "target", "zip", rules)
    assert [row.path for row in rows] == ["x/1.txt"]
    assert rows[0].sha256 == hashlib.sha256(b"x").hexdigest()
    assert rows[0].size == 1


def test_a_refused_archive_is_set_aside_and_nothing_half_made_stays(server, tmp_path):
    body = zip_of({"cases/0.bin": b"0", "../../escaped": b"1"})
    manifest = manifest_for(server.put("/a", Answer(body)), checksum=manifests.RECORD)
    with pytest.raises(BadArchive, match=r"outside its folder.*toy\.zip\.refused"):
        get(manifest, tmp_path)
    assert_nothing_made(tmp_path)
    assert not list(tmp_path.rglob("escaped"))


# --- folders that are there ----------------------------------------------------------------------


def test_find_takes_the_named_folder_then_the_root_itself(tmp_path):
    manifest = manifest_for("https://example.org/a")
    strict = manifest.model_copy(update={"loose": False})
    assert downloads.find(manifest, tmp_path / "absent") is None
    fill(tmp_path, FILES)
    assert downloads.find(manifest, tmp_path) == tmp_path
    assert downloads.find(strict, tmp_path) is None
    fill(tmp_path / "toy", FILES)
    assert downloads.find(manifest, tmp_path) == tmp_path / "toy"
    assert downloads.find(strict, tmp_path) == tmp_path / "toy"


def test_coverage_counts_a_partial_copy(tmp_path):
    manifest = manifest_for("https://example.org/a")
    fill(tmp_path, {"cases/0.bin": b"0"})
    part = downloads.coverage(manifest, tmp_path)
    assert (part.cases, part.release, part.complete) == (1, CASES, False)
    assert "a part of the release, 1 of 3 cases" in str(part)
    fill(tmp_path, FILES)
    assert downloads.coverage(manifest, tmp_path).complete
    with pytest.raises(DataError, match="found none"):
        downloads.coverage(manifest, tmp_path / "absent")


def test_verify_with_published_hashes(tmp_path, monkeypatch):
    rows = [f"{name},{sha256(content)[7:]},{len(content)}" for name, content in FILES.items()]
    (tmp_path / "toy.csv").write_text("\n".join(["path,sha256,size", *rows]) + "\n")
    monkeypatch.setattr(manifests, "folder", lambda: tmp_path)
    manifest = manifest_for("https://example.org/a", file_hashes="toy.csv")
    root = tmp_path / "root"

    with pytest.raises(DataError, match="fetch it with 'course data get toy'"):
        downloads.verify(manifest, root)
    fill(root, {"cases/0.bin": FILES["cases/0.bin"]})
    part = downloads.verify(manifest, root)
    assert (part.status, part.checked) == ("partial", 1)
    assert part.missing == ("cases/1.bin", "cases/2.bin")
    fill(root, FILES)
    assert downloads.verify(manifest, root).status == "complete"
    fill(root, {"cases/1.bin": NOISE + b"!"})
    wrong = downloads.verify(manifest, root)
    assert (wrong.status, wrong.altered, wrong.missing) == ("altered", ("cases/1.bin",), ())


def test_verify_with_the_hashes_of_the_download(server, tmp_path):
    manifest = manifest_for(server.put("/a", Answer(BODY)))
    folder = get(manifest, tmp_path)
    found = downloads.verify(manifest, tmp_path)
    assert (found.status, found.basis) == ("complete", "hashes recorded at download")
    (folder / "cases" / "0.bin").write_bytes(b"altered")
    (folder / "cases" / "1.bin").unlink()
    found = downloads.verify(manifest, tmp_path)
    assert (found.altered, found.missing) == (("cases/0.bin",), ("cases/1.bin",))


def test_verify_without_hashes_counts(tmp_path):
    manifest = manifest_for("https://example.org/a")
    fill(tmp_path, FILES)
    found = downloads.verify(manifest, tmp_path)
    assert (found.status, found.basis, found.checked) == ("complete", "counts", 0)


@pytest.mark.parametrize(
    ("text", "line"),
    [("a,b\n", "line 1: expected the columns"), ("path,sha256,size\nx,y,1\n", "line 2: expected")],
)
def test_a_broken_table_of_hashes_is_named(tmp_path, text, line):
    fill(tmp_path, FILES)
    (tmp_path / MARKER).write_text(text)
    with pytest.raises(ManifestError, match=line):
        downloads.verify(manifest_for("https://example.org/a"), tmp_path)


# --- Kaggle ------------------------------------------------------------------------------------


def kaggle_manifest() -> Manifest:
    members = {"urls": [], "members": [{"prefix": "cases/", "into": "cases/"}]}
    return manifest_for(kaggle="someone/toy", checksum=manifests.RECORD, archive=members)


def fake_kagglehub(monkeypatch, download) -> None:
    module = types.SimpleNamespace(dataset_download=download)
    monkeypatch.setitem(sys.modules, "kagglehub", module)


def test_kaggle_is_copied_once_and_its_content_recorded(tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    fill(cache, FILES | {f"again/{name}": content for name, content in FILES.items()})
    asked = []
    fake_kagglehub(monkeypatch, lambda handle: asked.append(handle) or str(cache))
    folder = get(kaggle_manifest(), tmp_path / "root")
    assert_whole(folder)
    assert not (folder / "again").exists()
    assert asked == ["someone/toy"]

    folder.rename(tmp_path / "elsewhere")
    fill(cache, {"cases/0.bin": b"changed"})
    with pytest.raises(DownloadError, match="from Kaggle has the checksum"):
        get(kaggle_manifest(), tmp_path / "root")
    assert_nothing_made(tmp_path / "root")


def test_a_kaggle_error_is_one_line_that_says_where_a_file_by_hand_belongs(tmp_path, monkeypatch):
    def fail(handle):
        raise RuntimeError("no\nnetwork")

    fake_kagglehub(monkeypatch, fail)
    with pytest.raises(DownloadError) as caught:
        get(kaggle_manifest(), tmp_path)
    line = str(caught.value)
    assert "kaggle.com/datasets/someone/toy" in line
    assert "(no network)" in line
    assert str(tmp_path / "downloads" / "toy" / "toy.zip") in line
    assert "\n" not in line


def test_a_kaggle_archive_put_there_by_hand_is_used(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    place = tmp_path / "downloads" / "toy" / "toy.zip"
    fill(place.parent, {"toy.zip": BODY})
    assert_whole(get(kaggle_manifest(), tmp_path))
