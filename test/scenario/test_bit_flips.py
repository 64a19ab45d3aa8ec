"""A bit flips in each file of a house in turn: nothing crashes, and no message goes without a word. What became of it is counted."""
import collections
import random
import shutil
import subprocess

import pytest

from harness.house import BINARY, Demo
from harness.net import wait_until

TEXT = b"Subject: message %d\r\nFrom: s@elsewhere.test\r\n\r\n" + b"line of text\r\n" * 50
LARGE = b"Subject: large\r\nFrom: s@elsewhere.test\r\n\r\n" + b"a longer line of text\r\n" * 12000


def make(folder):
    with Demo(folder / "demo") as house:
        for n in range(10):
            house.send("s@elsewhere.test", "alice@example.test", TEXT % n)
        house.send("s@elsewhere.test", "bob@example.test", LARGE)
        wait_until(lambda: len(house.inbox("alice")) == 10 and len(house.inbox("bob")) == 1)
        box = house.imap("alice")
        box.create("Work")
        box.select("INBOX")
        box.copy("1:5", "Work")
        box.logout()
    return house.data


def run(data, *args):
    done = subprocess.run([BINARY, *map(str, args), "--dir", str(data)], capture_output=True, text=True, timeout=120, errors="replace")
    assert done.returncode >= 0, (args, done.stderr)
    for word in ("panic:", "AddressSanitizer", "runtime error:", "signal 11", "signal 6"):
        assert word not in done.stderr, (args, done.stderr)
    return done


def export(data, target):
    """What can be had of both accounts: (texts in order, was anything told?)"""
    texts, told = [], False
    for user in ("alice", "bob"):
        shutil.rmtree(target, ignore_errors=True)
        done = run(data, "export", "eml", f"{user}@example.test", target)
        told |= done.returncode != 0
        texts += sorted(path.read_bytes() for path in target.rglob("*.eml"))
    return texts, told


def flip(path, rng):
    data = bytearray(path.read_bytes())
    at = rng.randrange(len(data))
    data[at] ^= 1 << rng.randrange(8)
    path.write_bytes(data)
    return at


def outcome(whole, name, rng, folder, before):
    data = folder / "flipped"
    shutil.rmtree(data, ignore_errors=True)
    shutil.copytree(whole, data)
    at = flip(data / name, rng)
    look = run(data, "fsck", "--json")
    mend = run(data, "fsck", "--repair", "--json")
    found = look.returncode != 0 or mend.returncode != 0 or '"kind"' in look.stdout + mend.stdout
    texts, told = export(data, folder / "out")
    if texts == before:
        return "mended" if found else "harmless"
    if found or told:
        return "told"
    assert len(texts) == len(before), f"a message went without a word: {name}, byte {at}"
    return "changed text"


def flips(folder, count, wanted):
    """Counts of outcomes by file; wanted() takes the path of a file below the house's folder."""
    rng = random.Random(20261122)
    whole = make(folder)
    before, told = export(whole, folder / "out")
    assert len(before) == 16 and not told
    files = sorted(path.relative_to(whole) for path in whole.rglob("*")
                   if path.is_file() and path.stat().st_size > 0 and path.parts[len(whole.parts)] not in ("run", "lock"))
    counted = collections.defaultdict(collections.Counter)
    for name in files:
        if wanted(name):
            about = "blobs/" if "blobs" in name.parts else name.name
            for _ in range(count):
                counted[about][outcome(whole, name, rng, folder, before)] += 1
            print(about, dict(counted[about]), flush=True)
    return counted


def test_some_bits(folder):
    counted = flips(folder, 1, lambda name: name.name == "mail.db")
    assert sum(sum(c.values()) for c in counted.values()) >= 2


@pytest.mark.soak
@pytest.mark.parametrize("part", ("accounts", "books", "secrets"))
def test_fifty_bits_of_every_file(folder, part):
    """With -s it tells what came of each file's."""
    assert flips(folder, 50, lambda name: name.parts[0] == part)
