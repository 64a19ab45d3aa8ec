"""What lies below the house fails: full disks, damaged files, locked databases, processes that hang, descriptors that run out.
A clear reply, a log line that says what to do, nothing acknowledged lost or doubled, other sessions unharmed."""
import contextlib
import imaplib
import os
import pathlib
import poplib
import random
import re
import resource
import signal
import smtplib
import socket
import sqlite3
import subprocess
import threading
import time

import pytest

from harness.house import CommandFailed, Demo, Served, IMAP, IMAPS, POP3, SMTP
from harness.net import wait_until

ROLES = ("vault", "gate", "porch", "desk", "clerk", "courier")
USERS = ("alice", "bob", "admin")
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")


class Sender:
    """Sends numbered messages on port 25; knows what was acknowledged."""

    def __init__(self, house, domain="example.test"):
        self.house, self.domain = house, domain
        self.acknowledged = {}
        self.replies = []
        self.next = 0
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self.threads = []

    def one(self, size=500, user=None):
        """The final reply to one message, and its number."""
        with self.lock:
            i = self.next
            self.next += 1
        user = user or USERS[i % len(USERS)]
        text = f"Message-ID: <fault{i}@load.test>\r\nSubject: fault {i}\r\n\r\n" + "x" * 70 + "\r\n"
        text += ("y" * 70 + "\r\n") * (size // 72)
        with smtplib.SMTP("127.0.0.1", self.house.port(SMTP), timeout=60) as s:
            s.ehlo("load.test")
            for reply in (s.mail("load@load.test"), s.rcpt(f"{user}@{self.domain}")):
                if reply[0] != 250:
                    return reply, i
            reply = s.data(text)
        with self.lock:
            self.replies.append(reply)
            if reply[0] == 250:
                self.acknowledged[i] = user
        return reply, i

    def run(self):
        while not self.stopping.is_set():
            try:
                reply, i = self.one(200000 if self.next % 25 == 7 else 300)
                if reply[0] != 250:
                    time.sleep(0.1)
            except (OSError, smtplib.SMTPException):
                time.sleep(0.1)

    def start(self, threads=3):
        self.threads = [threading.Thread(target=self.run, daemon=True) for _ in range(threads)]
        for t in self.threads:
            t.start()
        return self

    def stop(self):
        self.stopping.set()
        for t in self.threads:
            t.join()

    def numbers(self, user):
        box = self.house.imap(self.house.login(user))
        try:
            box.select(readonly=True)
            data = box.uid("FETCH", "1:*", "(BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])")[1]
            ids = [re.search(rb"fault(\d+)@", d[1]) for d in data if isinstance(d, tuple)]
            return [int(m.group(1)) for m in ids if m is not None]
        finally:
            box.logout()

    def check(self, seconds=60, users=USERS):
        """The queue drains; everything acknowledged is there once and nothing twice."""
        wait_until(lambda: self.house.rows("queue", "list") == [], seconds, "an empty queue", 0.2)
        found = {user: self.numbers(user) for user in users}
        for user, numbers in found.items():
            assert len(numbers) == len(set(numbers)), f"doubled for {user}"
        lost = [(i, user) for i, user in self.acknowledged.items() if user in users and i not in found[user]]
        assert not lost, f"{len(lost)} of {len(self.acknowledged)} acknowledged messages are lost: {lost[:5]}"


class Faulty(Served):
    """A served house with alice, bob and admin at example.test."""

    def __init__(self, folder, config="", data=None, **kw):
        super().__init__(folder, "mx.example.test", config=config, **kw)
        if data is not None:
            self.data = data

    def login(self, user):
        return f"{user}@example.test"

    def start(self, seconds=60):
        super().start(seconds)
        if not self.rows("account", "list"):
            self.domain("example.test", *USERS)
        return self

    def account(self, user):
        return next(row for row in self.rows("account", "list") if row["address"] == self.login(user))

    def mail_db(self, user):
        return next(self.data.glob(f"accounts/*/{self.account(user)['id']}/mail.db"))

    def reconfigure(self, config):
        self.extra_config = config
        self.write_config()
        before = len(self.logged("event=reload"))
        self.process.send_signal(signal.SIGHUP)
        wait_until(lambda: len(self.logged("event=reload")) > before, 30, "the reload")

    def logged(self, *words):
        return [line for line in self.log().splitlines() if all(word in line for word in words)]


@contextlib.contextmanager
def tmpfs(path, size):
    path.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "posthouse-test", str(path)], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


def free_bytes(path):
    v = os.statvfs(path)
    return v.f_bavail * v.f_frsize


def fill(path, leave):
    """A file that leaves so many bytes free, or none at all."""
    with open(path / "filler", "ab", buffering=0) as f:
        try:
            while (rest := free_bytes(path) - leave) > 0:
                f.write(b"\0" * min(rest, 1 << 20))
        except OSError:
            pass


def make_room(path):
    (path / "filler").unlink()


@root_only
@pytest.mark.sanitized
def test_full_disk(folder):
    with tmpfs(folder / "disk", "40m") as disk, \
            Faulty(folder / "house", "[limits]\nlow_disk_bytes = 4000000\n", data=disk / "data") as house:
        sender = Sender(house)
        for _ in range(9):
            assert sender.one()[0][0] == 250
        sender.check()
        # Little space: refused before harm.
        fill(disk, 2000000)
        time.sleep(1.2)
        reply = sender.one(user="alice")[0]
        assert reply[0] == 452 and reply[1].startswith(b"4.3.1"), reply
        assert house.logged("event=disk_low", " do=")
        make_room(disk)
        time.sleep(1.2)
        assert sender.one()[0][0] == 250
        # No limit, and mail comes in until nothing fits any more.
        house.reconfigure("[limits]\nlow_disk_bytes = 0\n")
        fill(disk, 1500000)
        for n in range(400):
            reply = sender.one(20000 if n % 3 else 200000)[0]
            if reply[0] != 250:
                break
        assert reply[0] == 452 and reply[1].startswith(b"4.3.1"), reply
        fill(disk, 0)
        sender.start()
        box = house.imap(house.login("alice"))
        box.select("INBOX")
        kind, text = box.append("INBOX", None, None, b"Subject: big\r\n\r\n" + b"z" * 300000)
        assert kind == "NO", (kind, text)
        kind, text = box.append("INBOX", None, None, b"Subject: small\r\n\r\n" + b"z" * 30000)
        assert kind == "NO", (kind, text)
        assert box.fetch("1", "(BODY.PEEK[])")[0] == "OK"
        pop = house.pop3(house.login("bob"))
        assert pop.stat()[0] >= 3 and pop.retr(1)[1]
        pop.quit()
        time.sleep(2)
        make_room(disk)
        time.sleep(1)
        sender.stop()
        assert sender.one()[0][0] == 250
        assert box.append("INBOX", None, None, b"Subject: small\r\n\r\nz")[0] == "OK"
        box.logout()
        print("\n".join(line for line in house.log().splitlines() if " info " not in line))
        sender.check()


# ---- damage ------------------------------------------------------------------------------------------------------------


def scribble(path, at=4096, count=1 << 20):
    """Overwrites pages of a file as a bad disk would; its size stays."""
    size = path.stat().st_size
    with open(path, "r+b") as f:
        f.seek(at)
        f.write(random.Random(7).randbytes(max(0, min(count, size - at))))


def refused_sign_in(house, user):
    """What IMAP and POP3 say to the owner of a damaged account; within seconds, and never with a mailbox."""
    texts = []
    try:
        box = house.imap()
        texts.append(str(box.login(house.login(user), "demo-password")))
        texts.append(str(box.select()))
        texts.append(str(box.fetch("1:*", "(BODY.PEEK[])")))
    except (imaplib.IMAP4.error, OSError) as error:
        texts.append(str(error))
    else:
        assert "NO" in texts[-1] or "BAD" in texts[-1] or "BYE" in texts[-1], texts
    try:
        pop = house.pop3(house.login(user))
        pop.retr(1)
        raise AssertionError("POP3 served a damaged account")
    except (poplib.error_proto, OSError) as error:
        texts.append(str(error))
    print(texts)
    return texts


@pytest.mark.sanitized
@pytest.mark.parametrize("how", ["overwritten", "truncated", "no database", "while it runs"])
def test_damaged_account(folder, how):
    house = Faulty(folder / "house", "[limits]\naccount_handle_idle_ms = 300\n")
    house.start()
    sender = Sender(house)
    for _ in range(30):
        sender.one()
    sender.check()
    path = house.mail_db("alice")
    if how != "while it runs":
        assert house.stop() == 0
    else:
        time.sleep(12)
    original = {p: p.read_bytes() for p in path.parent.glob("mail.db*")}
    if how == "truncated":
        os.truncate(path, path.stat().st_size // 2)
        for p in path.parent.glob("mail.db-*"):
            p.unlink()
    elif how == "no database":
        path.write_bytes(b"this is no database at all\n" * 1000)
    else:
        scribble(path)
        for p in path.parent.glob("mail.db-wal"):
            os.truncate(p, 0)
    if how != "while it runs":
        house.start()
    texts = refused_sign_in(house, "alice")
    for user in USERS:
        assert sender.one(user=user)[0][0] == 250
    wait_until(lambda: len(house.rows("queue", "list")) == 1, 20)
    bob = house.imap(house.login("bob"))
    bob.select()
    assert bob.fetch("1:*", "(BODY.PEEK[])")[0] == "OK"
    bob.logout()
    assert house.logged("level", house.account("alice")["id"], "mail.db") or house.logged(house.account("alice")["id"], "mail.db"), \
        "the log names account and file"
    print("\n".join(house.log().splitlines()[-12:]), house.run("queue", "list"))
    assert house.stop() == 0
    # The operator brings the file back: all that was acknowledged is there.
    for p in path.parent.glob("mail.db*"):
        p.unlink()
    for p, raw in original.items():
        p.write_bytes(raw)
    house.start()
    house.run("queue", "retry", "--all", check=False)
    for row in house.rows("queue", "list"):
        house.run("queue", "retry", row["id"])
    sender.check()
    assert house.stop() == 0
    house.check_log()


@pytest.mark.sanitized
@pytest.mark.parametrize("name", ["queue.db", "directory.db"])
@pytest.mark.parametrize("how", ["no database", "truncated", "overwritten"])
def test_damaged_books(folder, name, how):
    """The house says which file is damaged and what to do, and leaves it alone."""
    house = Faulty(folder / "house")
    house.start()
    sender = Sender(house)
    for _ in range(30):
        sender.one(3000)
    sender.check()
    assert house.stop() == 0
    path = next(house.data.rglob(name))
    for p in path.parent.glob(f"{name}-*"):
        p.unlink()
    if how == "no database":
        path.write_bytes(b"this is no database at all\n" * 1000)
    elif how == "truncated":
        os.truncate(path, path.stat().st_size // 2)
    else:
        scribble(path)
    damaged = path.read_bytes()
    with pytest.raises(RuntimeError) as error:
        house.start(20)
    said = str(error.value)
    print(said)
    assert name in said and "damaged" in said and "backup" in said
    assert path.read_bytes() == damaged
