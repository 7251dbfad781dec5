"""Downloads that are cut, killed, starved of disk and raced; archives with flipped bits.

The single faults of servers and archives stand in `tests/test_downloads.py`; here they come many
times, at random moments and on top of each other.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from effort import times

from course_utils import downloads, manifests
from course_utils.downloads import archives, transfer
from course_utils.downloads.archives import BadArchive
from course_utils.errors import DataError, DownloadError
from course_utils.manifests import Archive
from tests.local_server import Answer
from tests.test_downloads import QUICK, assert_nothing_made, assert_whole, get
from tests.toy_dataset import BODY, FILES, manifest_for, zip_of

ROOT = Path(__file__).resolve().parents[2]
PATIENT = downloads.Patience(connect=5, read=0.3, slowest=1, attempts=12, pause=0.001)
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="needs fork and the signals of POSIX")


# --- servers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(times(30, 500)))
def test_cut_off_at_random_bytes_it_still_ends_whole(server, tmp_path, seed, monkeypatch):
    monkeypatch.setattr(transfer, "_CHUNK", 7_000)
    draw = random.Random(seed)
    how = {"chunked": draw.random() < 0.3, "ranges": draw.random() < 0.8}
    how["etag"] = draw.choice(['"one"', '"one"', None, 'W/"weak"'])
    cuts = [
        Answer(BODY, cut_at=draw.randrange(len(BODY)), **how) for _ in range(draw.randint(1, 5))
    ]
    url = server.put("/a", *cuts, Answer(BODY, **how))
    assert_whole(get(manifest_for(url), tmp_path, patience=PATIENT))


def misbehaving(draw: random.Random) -> Answer:
    """Return one answer that is of no use, or is broken off."""
    at = draw.randrange(len(BODY))
    return draw.choice(
        [
            Answer(BODY, cut_at=at),
            Answer(BODY, cut_at=at, chunked=True),
            Answer(BODY, etag=None, cut_at=at),
            Answer(BODY, claim=len(BODY) + 9),
            Answer(BODY[:at]),
            Answer(BODY[:at] + b"x" + BODY[at + 1 :]),
            Answer(BODY, range_start=at),
            Answer(zip_of({"cases/0.bin": b"0"}), etag='"two"'),
            Answer(b"<html>log in</html>", kind="text/html"),
            Answer(b"<!doctype html>log in"),
            Answer(b""),
            Answer(gzip.compress(bytes(10_000_000)), encoding="gzip"),
            *(Answer(b"no", status=code) for code in (403, 404, 416, 429, 500, 503)),
            Answer(status=302, location="/a"),
            Answer(status=302, location="http://127.0.0.1:1/gone"),
            Answer(status=206),
        ]
    )


@pytest.mark.parametrize("seed", range(times(60, 1000)))
def test_whatever_a_server_does_the_end_is_whole_or_nothing(server, tmp_path, seed):
    draw = random.Random(seed)
    url = server.put("/a", *(misbehaving(draw) for _ in range(draw.randint(1, 4))), Answer(BODY))
    for attempt in range(6):
        try:
            folder = get(manifest_for(url), tmp_path, patience=QUICK)
        except DownloadError as error:
            assert "\n" not in str(error) and "toy.zip" in str(error)
            assert_nothing_made(tmp_path)
            assert attempt < 5, "it never recovered"
        else:
            return assert_whole(folder)


def test_a_compressed_answer_is_not_blown_up(server, tmp_path):
    bomb = gzip.compress(bytes(50_000_000))
    manifest = manifest_for(
        server.put("/a", Answer(bomb, encoding="gzip")), checksum=manifests.RECORD
    )
    with pytest.raises(DownloadError, match="no whole zip file"):
        get(manifest, tmp_path)
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) < 2 * len(
        bomb
    )


# --- processes ----------------------------------------------------------------------------------

_KILLER = """
import os, random, signal, sys, time
from pathlib import Path
from course_utils import downloads
from tests.test_downloads import get
from tests.toy_dataset import manifest_for
url, root, rounds = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
patience = downloads.Patience(read=20)
def fetch(folder):
    child = os.fork()
    if child == 0:
        try:
            get(manifest_for(url), folder, patience=patience)
            os._exit(0)
        except BaseException as error:
            print(error, file=sys.stderr)
            os._exit(1)
    return child
began = time.monotonic()
assert os.waitpid(fetch(root / "first"), 0)[1] == 0
whole = time.monotonic() - began
draw, killed = random.Random(0), 0
for number in range(rounds):
    child = fetch(root / str(number))
    time.sleep(draw.uniform(0, 1.2 * whole))
    os.kill(child, signal.SIGKILL)
    killed += os.WIFSIGNALED(os.waitpid(child, 0)[1])
print(killed)
"""


def in_checkout(command: list[str]) -> subprocess.CompletedProcess:
    """Run a command that imports the course and these tests; it has to end well."""
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done


@POSIX
def test_killed_at_random_moments_it_goes_on_and_ends_whole(server, tmp_path):
    rounds = times(50, 500)
    url = server.put("/a", Answer(BODY, pause=0.002))
    command = [sys.executable, "-c", _KILLER, url, str(tmp_path), str(rounds)]
    done = in_checkout(command)
    assert int(done.stdout) >= rounds // 3, "hardly any was killed before its end"
    for number in range(rounds):
        root = tmp_path / str(number)
        if (root / "toy").exists():
            assert all((root / "toy" / name).read_bytes() == FILES[name] for name in FILES)
        else:
            assert downloads.find(manifest_for(url), root) is None
        server.put("/a", Answer(BODY))
        assert_whole(get(manifest_for(url), root, patience=PATIENT))


def answer_to(asked: str, client) -> dict:
    """Wait for the answer of a kernel to one request."""
    while True:
        message = client.get_shell_msg(timeout=300)
        if message["parent_header"].get("msg_id") == asked:
            return message["content"]


@POSIX
def test_two_notebooks_that_ask_at_once_both_get_the_whole_dataset(server, tmp_path):
    from jupyter_client.manager import start_new_kernel

    url = server.put("/a", Answer(BODY, pause=0.005))
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from pathlib import Path\nfrom course_utils import downloads\n"
        "from tests.test_downloads import get\nfrom tests.toy_dataset import manifest_for\n"
        f"get(manifest_for({url!r}), Path({str(tmp_path)!r}), "
        "patience=downloads.Patience(read=20))"
    )
    kernels = [start_new_kernel(kernel_name="python3") for _ in range(2)]
    try:
        asked = [client.execute(code) for _, client in kernels]
        answers = [answer_to(one, client) for one, (_, client) in zip(asked, kernels)]
        assert [answer["status"] for answer in answers] == ["ok", "ok"], answers
    finally:
        for manager, client in kernels:
            client.stop_channels()
            manager.shutdown_kernel(now=True)
    assert_whole(tmp_path / "toy")
    assert server.asked("/a") == 1


# --- a disk that fills --------------------------------------------------------------------------

_SMALL_DISK = """
import json, subprocess, sys
from pathlib import Path
from course_utils import downloads, paths, samples
from course_utils.downloads import disk
from course_utils.errors import CourseError
from tests.test_downloads import assert_whole, get
from tests.toy_dataset import manifest_for
place, url = Path(sys.argv[1]), sys.argv[2]
said = {}
def size(kilobytes, *how):
    options = ",".join([*how, f"size={kilobytes}k"])
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], check=True)
def attempt(name, work):
    try:
        work()
        said[name] = "nothing went wrong"
    except CourseError as error:
        said[name] = str(error)
size(300)
attempt("before", lambda: get(manifest_for(url), place))
disk._SPARE = 0
for kilobytes in (40, 100, 140, 200):
    size(kilobytes, "remount")
    attempt(f"{kilobytes} kB", lambda: get(manifest_for(url), place))
    assert not (place / "toy").exists() and not (place / "downloads" / "toy.unpacking").exists()
attempt("twin", lambda: samples.make("bbbc038", place / "twin", cases=12))
assert not (place / "twin").exists() and not list(place.glob(".twin*"))
notes = place / "notes.json"
paths.atomic_write(notes, "before")
try:
    paths.atomic_write(notes, bytes(400_000))
except OSError as error:
    said["file"] = error.strerror
assert notes.read_text() == "before" and len(list(place.glob("*notes*"))) == 1
size(3000, "remount")
assert_whole(get(manifest_for(url), place))
print(json.dumps(said))
"""


@pytest.mark.skipif(not shutil.which("unshare"), reason="needs unshare for a small disk of its own")
def test_a_disk_that_fills_is_one_line_and_nothing_is_lost(server, tmp_path):
    url = server.put("/a", Answer(BODY, chunked=True))  # of no known length: it is just written
    apart = ["unshare", "--map-root-user", "--mount"]
    if subprocess.run([*apart, "true"], capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a disk in a namespace of their own")
    command = [*apart, sys.executable, "-c", _SMALL_DISK, str(tmp_path), url]
    done = in_checkout(command)
    said = json.loads(done.stdout)
    assert "of free disk, found" in said.pop("before")
    assert said.pop("file") == "No space left on device"
    assert "No space left on device" in said.pop("twin")
    assert len(said) == 4
    for line in said.values():
        assert ("the disk is full" in line or "of free disk" in line) and "make room" in line, line
    assert any("the disk is full" in line for line in said.values())


@pytest.mark.parametrize("after", [0, 20_000, 90_000, 130_000, 200_000])
def test_no_room_at_any_write_is_one_line_and_nothing_is_lost(server, tmp_path, monkeypatch, after):
    """As above wherever nothing can be mounted: the real writes, of which one finds no room."""
    room = [after]

    class Full(io.FileIO):
        def write(self, content):
            room[0] -= len(content)
            if room[0] < 0:
                raise OSError(28, "No space left on device")
            return super().write(content)

    def opened(path, mode="r", *rest, **how):
        return (
            Full(path, mode.replace("b", "")) if set(mode) & set("ax") else open(path, mode, *rest)
        )

    url = server.put("/a", Answer(BODY))
    with monkeypatch.context() as patched:
        for module in (transfer, archives):
            patched.setattr(module, "open", opened, raising=False)
        with pytest.raises(DownloadError, match="the disk is full") as caught:
            get(manifest_for(url), tmp_path)
    assert "make room" in str(caught.value) and "\n" not in str(caught.value)
    assert_nothing_made(tmp_path) if after < len(BODY) else None
    assert not (tmp_path / "toy").exists()
    assert_whole(get(manifest_for(url), tmp_path))


@POSIX
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes anywhere")
def test_a_folder_without_the_right_to_write_is_one_line(server, tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(DownloadError, match="cannot be written"):
        get(manifest_for(server.put("/a", Answer(BODY))), tmp_path)
    tmp_path.chmod(0o700)


# --- archives with flipped bits -----------------------------------------------------------------


def tar_of(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as target:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            target.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def deflated(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in files.items():
            target.writestr(name, content)
    return buffer.getvalue()


SMALL = {f"cases/{k}.txt": bytes(range(97, 117)) * (40 + k) for k in range(3)}
PACKED = {"zip": deflated(SMALL), "stored zip": zip_of(SMALL), "tar": tar_of(SMALL)}


@pytest.mark.parametrize("kind", PACKED)
def test_a_changed_archive_is_refused_or_gives_what_was_packed(tmp_path, kind):
    whole, ends = PACKED[kind], {"refused": 0, "whole": 0}
    for seed in range(times(200, 5000)):
        draw = random.Random(seed)
        changed = bytearray(whole)
        for _ in range(draw.choice([1, 1, 2, 8])):
            changed[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        changed = changed[: draw.randrange(len(whole))] if draw.random() < 0.2 else changed
        path, target = tmp_path / "a", tmp_path / str(seed)
        path.write_bytes(changed)
        target.mkdir()
        archive = Archive(
            file="a", urls=[], checksum=manifests.RECORD, unpack=kind.split()[-1],
            unpacked_bytes_max=100_000,
        )  # fmt: skip
        try:
            archives.unpack(path, archive, target)
        except (BadArchive, DataError) as error:
            assert "\n" not in str(error) and str(path) in str(error), error
            ends["refused"] += 1
        else:  # a changed name is a name; the contents are under a checksum
            found = {p.name: p.read_bytes() for p in target.rglob("*") if p.is_file()}
            assert all(content in SMALL.values() for content in found.values())
            ends["whole"] += 1
        shutil.rmtree(target)
        assert {one.name for one in tmp_path.iterdir()} == {"a"}
    assert ends["refused"] > 20


@pytest.mark.parametrize("size", [2**32 - 2, 2**40, 2**62])
def test_a_huge_declared_size_is_refused_before_a_byte_is_written(tmp_path, size):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as target:
        info = tarfile.TarInfo("cases/0.bin")
        target.addfile(info, io.BytesIO(b""))
        info.size = size
        buffer.seek(0)
        buffer.write(info.tobuf(tarfile.GNU_FORMAT))
    path = tmp_path / "a"
    path.write_bytes(buffer.getvalue())
    (tmp_path / "target").mkdir()
    archive = Archive(
        file="a", urls=[], checksum=manifests.RECORD, unpack="tar", unpacked_bytes_max=100_000
    )
    with pytest.raises(BadArchive, match="more than the 100000 bytes"):
        archives.unpack(path, archive, tmp_path / "target")
    assert not any((tmp_path / "target").rglob("*.bin"))
