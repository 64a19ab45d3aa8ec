"""bench backup: what a backup costs, and what it is good for.

`bench/backup.py load [--seconds 300]`: mail comes in from four sides and people read it, while a backup is written every ten seconds. At a
random moment every process of the house is killed and its folder removed. The last backup that was complete is restored, and held
against what had been acknowledged before it began and what an IMAP client had seen: messages, UIDs, EMAILIDs; no UID means two messages.

`bench/backup.py size [--gigabytes 10]`: time and size of a full backup of a house of that size (bodies that cannot be compressed, of 100 to 300 KB), of
one with nothing new, of one with 100 MB more; then of a restore. It takes three times the size on the disk of $TMPDIR."""
import argparse
import base64
import imaplib
import json
import os
import pathlib
import random
import re
import shutil
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "test"))

from harness.house import BINARY, IMAP, PASSWORD, CommandFailed, Demo, remove, scratch  # noqa: E402
from harness.net import wait_until  # noqa: E402

USERS = ("alice", "bob")
EVERY_S = 10


# ---- a house under load ----

class Load:
    """Senders, readers and backups; all that a person was told, and when."""

    def __init__(self, house, dest):
        self.house, self.dest = house, dest
        self.stopped, self.lock = threading.Event(), threading.Lock()
        self.sent = {}   # number: (user, when it was acknowledged)
        self.seen = {}   # (user, UIDVALIDITY, UID): (number, EMAILID, when)
        self.backups = []  # (began, seconds, row) of those that are complete
        self.failed = 0
        self.next = 0
        self.threads = [threading.Thread(target=self.send, args=(n,)) for n in range(4)]
        self.threads += [threading.Thread(target=self.read, args=(user,)) for user in USERS] + [threading.Thread(target=self.back_up)]
        for thread in self.threads:
            thread.start()

    def send(self, n):
        rng = random.Random(n)
        while not self.stopped.is_set():
            try:
                with self.house.smtp() as s:
                    for _ in range(20):
                        with self.lock:
                            number = self.next
                            self.next += 1
                        user = USERS[number % len(USERS)]
                        size = rng.choice((1000, 5000, 20000, 300_000))
                        s.sendmail("s@elsewhere.test", f"{user}@example.test", b"Subject: number %d\r\n\r\n" % number + text(size))
                        self.sent[number] = user, time.monotonic()
                        if self.stopped.wait(0.02):
                            return
            except OSError:  # the house is gone (smtplib's errors are of that kind)
                if not self.stopped.is_set():
                    raise

    def read(self, user):
        """New messages as they come, with their numbers; every tenth is flagged."""
        try:
            box, last = self.house.imap(user), 0
            while not self.stopped.wait(0.3):
                last = max([last, *self.look(box, user, last)])
        except (OSError, imaplib.IMAP4.error):
            if not self.stopped.is_set():
                raise

    def look(self, box, user, last):
        box.select("INBOX")
        validity = box.response("UIDVALIDITY")[1][0]
        for uid, number, emailid in numbers(box, last + 1):
            with self.lock:
                self.seen[user, validity, uid] = number, emailid, time.monotonic()
            if number % 10 == 0:
                box.uid("STORE", str(uid), "+FLAGS", r"(\Flagged)")
            yield uid

    def back_up(self):
        while not self.stopped.is_set():
            began = time.monotonic()
            try:
                (row,) = self.house.rows("backup", self.dest)
                self.backups.append((began, time.monotonic() - began, row))
            except CommandFailed:
                self.failed += 1
                if not self.stopped.is_set():
                    raise
            self.stopped.wait(max(0, began + EVERY_S - time.monotonic()))

    def destroy(self):
        self.stopped.set()
        self.house.kill()
        shutil.rmtree(self.house.data)
        for thread in self.threads:
            thread.join()


def text(size):
    raw = base64.b64encode(os.urandom(size * 3 // 4))
    return b"\r\n".join(raw[i:i + 76] for i in range(0, len(raw), 76)) + b"\r\n"


def numbers(box, first):
    """(UID, number in the subject, EMAILID) of the selected mailbox's messages from a UID on."""
    for item in box.uid("FETCH", f"{first}:*", "(UID EMAILID BODY.PEEK[HEADER.FIELDS (SUBJECT)])")[1]:
        if isinstance(item, tuple):
            uid = int(re.search(rb"UID (\d+)", item[0])[1])
            number = re.search(rb"number (\d+)", item[1])
            if uid >= first and number:
                yield uid, int(number[1]), re.search(rb"EMAILID \((.*?)\)", item[0])[1]


def restored(house):
    """{(user, UIDVALIDITY, UID): (number, EMAILID)} of a house."""
    found = {}
    for user in USERS:
        with house.imap(user) as box:
            box.select("INBOX", readonly=True)
            validity = box.response("UIDVALIDITY")[1][0]
            for uid, number, emailid in numbers(box, 1):
                found[user, validity, uid] = number, emailid
    return found


def load(folder, seconds):
    demo = Demo(folder / "demo", plain=True).start()
    key = folder / "key"
    key.write_text(demo.run("backup", "key"))
    work = Load(demo, folder / "backups")
    time.sleep(random.uniform(seconds * 0.9, seconds))
    work.destroy()
    began, took, row = work.backups[-1]
    times = [t for _, t, _ in work.backups]
    print(f"{len(work.sent)} messages acknowledged, {len(work.backups)} backups of {min(times):.2f} to {max(times):.2f} s, "
          f"{work.failed} cut off by the end of the house; the last one began {time.monotonic() - began:.1f} s ago")
    again = Demo(folder / "again", plain=True)
    (row,) = again.rows("restore", folder / "backups", "--key-file", key)
    with again:
        wait_until(lambda: not again.rows("queue", "list"), 120)
        found = restored(again)
        for number in (10**9, 10**9 + 1):
            again.send("s@elsewhere.test", f"{USERS[number % 2]}@example.test", b"Subject: number %d\r\n\r\nlater\r\n" % number)
        wait_until(lambda: sum(n >= 10**9 for n, _ in restored(again).values()) == 2)
        later = {place: v for place, v in restored(again).items() if place not in found}
    here = {number for number, _ in found.values()}
    owed = {number for number, (_, when) in work.sent.items() if when < began}
    shown = {place: v[:2] for place, v in work.seen.items() if v[2] < began}
    twice = len(found) - len(here)
    changed = [place for place, v in shown.items() if found.get(place) != v]
    reused = [place for place, v in work.seen.items() if place in {**found, **later} and {**found, **later}[place][0] != v[0]]
    print(f"acknowledged before it began: {len(owed)}, missing: {len(owed - here)}; twice: {twice}; later ones that it has too: {len(here - owed)}")
    print(f"seen by a client before it began: {len(shown)}, with another UID or EMAILID now: {len(changed)}; UIDs that mean another message than "
          f"a client has seen: {len(reused)}; damaged files: {row['damaged']}")
    return 0 if not (owed - here or twice or changed or reused or row["damaged"]) else 1


# ---- a large house ----

class Filler:
    """Appends messages over IMAP in the clear, many in one command."""

    def __init__(self, house, user):
        self.socket = socket.create_connection(("127.0.0.1", house.port(IMAP)))
        self.lines = self.socket.makefile("rb")
        self.lines.readline()
        self.command(b"LOGIN %s %s\r\n" % (user.encode(), PASSWORD.encode()))

    def command(self, *pieces):
        self.socket.sendall(b"a " + pieces[0])
        for piece in pieces[1:]:
            self.socket.sendall(piece)
        while not (line := self.lines.readline()).startswith(b"a "):
            assert line, "the house has gone"
        assert line.startswith(b"a OK"), line

    def fill(self, total):
        rng, put = random.Random(total), 0
        while put < total:
            pieces = [b"APPEND INBOX"]
            for _ in range(20):
                raw = b"Subject: large\r\nMessage-ID: <%x@elsewhere.test>\r\n\r\n" % rng.getrandbits(64) + text(rng.randrange(100_000, 300_000))
                pieces += [b" {%d+}\r\n" % len(raw), raw]
                put += len(raw)
            self.command(*pieces, b"\r\n")


def size_of(path):
    return sum(p.stat().st_size for p in pathlib.Path(path).rglob("*") if p.is_file()) / 1e9


def fill(house, users, total):
    threads = [threading.Thread(target=Filler(house, user).fill, args=(total // len(users),)) for user in users]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def timed(what, house, *arguments):
    begin = time.monotonic()
    process = subprocess.Popen([BINARY, *map(str, arguments), *house.where(), "--json"], stdout=subprocess.PIPE, text=True)
    out = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, out
    row = json.loads(out.splitlines()[-1])
    print(f"{what}: {time.monotonic() - begin:.1f} s, {usage.ru_utime + usage.ru_stime:.1f} s of CPU, {usage.ru_maxrss / 1024:.0f} MB of memory"
          + (f", {row['bytes_written'] / 1e6:.1f} MB written" if "bytes_written" in row else ""), flush=True)


def size(folder, gigabytes):
    users = ("alice", "bob", "admin")
    dest, key = folder / "backups", folder / "key"
    with Demo(folder / "demo", plain=True) as house:
        key.write_text(house.run("backup", "key"))
        begin = time.monotonic()
        fill(house, users, int(gigabytes * 1e9))
        print(f"a house of {size_of(house.data):.1f} GB, filled in {time.monotonic() - begin:.0f} s", flush=True)
        time.sleep(3)  # files count as finished once they are two seconds old
        timed("a full backup", house, "backup", dest)
        print(f"it takes {size_of(dest):.1f} GB", flush=True)
        timed("with nothing new", house, "backup", dest)
        fill(house, users[:1], 100_000_000)
        time.sleep(3)
        timed("with 100 MB more in one account", house, "backup", dest)
    shutil.rmtree(house.data)
    timed("restored", Demo(folder / "again"), "restore", dest, "--key-file", key)
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("load", "size"))
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--gigabytes", type=float, default=10)
    args = parser.parse_args()
    folder = scratch("backup")
    try:
        return load(folder, args.seconds) if args.what == "load" else size(folder, args.gigabytes)
    finally:
        remove(folder)


if __name__ == "__main__":
    sys.exit(main())
