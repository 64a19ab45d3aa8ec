"""kill -9 of a random role, then of all, under a load: what got its 250 is in a mailbox exactly once."""
import imaplib
import os
import random
import re
import signal
import smtplib
import threading
import time

import pytest

from harness.house import Demo, SMTP
from harness.net import wait_until

ROLES = ("vault", "gate", "porch", "desk", "clerk", "courier", "reader")


class Load:
    """`threads` senders on port 25, each over and over a new message with its own Message-ID, until `stop`. Remembers which got 250."""

    def __init__(self, house, total, first=0, threads=5, users=("alice", "bob", "admin")):
        self.house, self.total, self.users = house, first + total, users
        self.acknowledged = {}
        self.lock = threading.Lock()
        self.next = first
        self.stopping = False
        self.threads = [threading.Thread(target=self.run, args=(n,), daemon=True) for n in range(threads)]
        for t in self.threads:
            t.start()

    def take(self):
        with self.lock:
            if self.stopping or self.next >= self.total:
                return None
            self.next += 1
            return self.next - 1

    def run(self, n):
        s = None
        while True:
            i = self.take()
            if i is None:
                break
            user = self.users[i % len(self.users)]
            # About one in forty is large enough to travel as a file.
            body = "x" * 70 + "\r\n"
            text = f"Message-ID: <load{i}@load.test>\r\nSubject: load {i}\r\n\r\n" + body * (3000 if i % 40 == 0 else i % 30)
            try:
                if s is None:
                    s = smtplib.SMTP("127.0.0.1", self.house.port(SMTP), timeout=30)
                    s.ehlo("load.test")
                s.mail("load@load.test")
                if s.rcpt(f"{user}@example.test")[0] != 250:
                    raise OSError("not now")
                code, _ = s.data(text)
                if code == 250:
                    with self.lock:
                        self.acknowledged[i] = user
                else:
                    raise OSError("not now")
            except (OSError, smtplib.SMTPException):
                if s is not None:
                    s.close()
                s = None
                time.sleep(0.05)
        if s is not None:
            s.close()

    def join(self):
        for t in self.threads:
            t.join()


def try_imap(house, user):
    """None while the role that was killed last is not ready again."""
    try:
        return house.imap(user)
    except (OSError, imaplib.IMAP4.error):
        return None


def check(house, load):
    """Every acknowledged message is there once; none is there twice."""
    wait_until(lambda: not [r for r in house.rows("queue", "list")], 90, "an empty queue")
    found = {}
    uids = {}
    for user in load.users:
        box = wait_until(lambda: try_imap(house, user), 30, "a desk that takes the session")
        box.select(readonly=True)
        kind, data = box.uid("FETCH", "1:*", "(UID BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])")
        box.logout()
        for item in data:
            if isinstance(item, tuple):
                i = int(re.search(rb"load(\d+)@", item[1]).group(1))
                found.setdefault(i, []).append(user)
                uid = (user, int(re.search(rb"UID (\d+)", item[0]).group(1)))
                assert uid not in uids
                uids[uid] = i
    doubled = {i: users for i, users in found.items() if len(users) > 1}
    lost = {i: user for i, user in load.acknowledged.items() if i not in found}
    assert not lost, f"{len(lost)} acknowledged messages are lost: {list(lost.items())[:5]}"
    assert not doubled, f"{len(doubled)} messages are doubled: {list(doubled.items())[:5]}"
    return uids


def test_kill_roles_and_all_under_load(folder):
    rng = random.Random(20)
    house = Demo(folder / "demo", plain=True)
    house.start()
    load = Load(house, 5000)
    seen = {}
    try:
        for n in range(20):
            time.sleep(rng.uniform(0.3, 0.9))
            role = rng.choice(ROLES)
            pids = [pid for (name, index), pid in house.pids().items() if name == role]
            assert pids, role
            os.kill(rng.choice(pids), signal.SIGKILL)
            wait_until(lambda: (lambda p: p if all((r, 0) in p for r in ROLES) and not set(pids) & set(p.values()) else None)(
                try_pids(house)), 20, f"a new {role}")
        load.join()
        seen = check(house, load)
        assert len(load.acknowledged) > 3000
        # Now everything at once, in the middle of another load.
        for n in range(3):
            more = Load(house, 1500, first=5000 * (n + 1))
            time.sleep(rng.uniform(0.4, 1.2))
            house.kill()
            more.stopping = True
            more.join()
            house.start()
            more.acknowledged.update(load.acknowledged)
            load = more
            again = check(house, load)
            changed = {uid: (i, again[uid]) for uid, i in seen.items() if uid in again and again[uid] != i}
            assert not changed, f"UIDs came to mean other messages: {list(changed.items())[:5]}"
            assert all(uid in again for uid in seen), "a message that was seen has another UID now"
            seen = again
    finally:
        code = house.stop()
    assert code == 0
    house.check_log()


def try_pids(house):
    try:
        return house.pids()
    except Exception:
        return {}


@pytest.mark.threads
@pytest.mark.sanitized
def test_load(folder):
    """5 senders, readers meanwhile; nothing lost, nothing doubled, and the sanitizers have nothing to say."""
    with Demo(folder / "demo", plain=True) as house:
        load = Load(house, 1500)
        while any(t.is_alive() for t in load.threads):
            for user in load.users:
                box = house.imap(user)
                if box.select()[1] != [b"0"]:
                    box.fetch("1:*", "(FLAGS ENVELOPE)")
                    box.store("1:*", "+FLAGS", "(\\Seen)")
                box.logout()
        load.join()
        assert len(load.acknowledged) == 1500
        check(house, load)


def test_flags_outlive_the_desk_and_the_house(folder):
    """What STORE has answered is there after kill -9, though the database is written only later: of the desk, then of all."""
    with Demo(folder / "demo") as house:
        box = house.imap("alice")
        for i in range(20):
            box.append("INBOX", None, None, f"Subject: {i}\r\n\r\nx\r\n".encode())
        box.logout()
        expected = {i: set() for i in range(1, 21)}
        for n, kill in enumerate(("desk", "house", "nobody")):
            box = wait_until(lambda: try_imap(house, "alice"), 30, "a desk that takes the session")
            box.select()
            kind, data = box.fetch("1:*", "(FLAGS)")
            found = {int(line.split()[0]): set(imaplib.ParseFlags(line)) - {b"\\Recent"} for line in data}
            assert found == expected
            for i in range(1, 21):
                flag = (b"\\Flagged", b"\\Answered", b"$Forwarded")[(i + n) % 3]
                box.store(str(i), "+FLAGS.SILENT", flag.decode())
                expected[i].add(flag)
            box.store("5:15", "-FLAGS.SILENT", "\\Flagged")
            for i in range(5, 16):
                expected[i].discard(b"\\Flagged")
            if kill == "house":
                house.kill()
                house.start()
            elif kill == "desk":
                os.kill(house.pids()["desk", 0], signal.SIGKILL)


def test_disconnects_at_every_point(shared_demo):
    """A client that goes away after any prefix of a session leaves nothing behind and harms nobody."""
    import socket
    session = (b"EHLO c.test\r\nMAIL FROM:<s@elsewhere.test>\r\nRCPT TO:<admin@example.test>\r\nDATA\r\n"
               b"Subject: half\r\n\r\nbody\r\n.\r\nQUIT\r\n")
    complete = session.index(b"\r\n.\r\n") + 5
    for n in range(0, len(session), 3):
        s = socket.create_connection(("127.0.0.1", shared_demo.port(SMTP)))
        s.sendall(session[:n])
        if n % 2:
            s.shutdown(socket.SHUT_WR)
            while s.recv(4096):
                pass
        s.close()
    expected = len([n for n in range(0, len(session), 3) if n >= complete])
    time.sleep(1)
    boxes = shared_demo.inbox("admin")
    assert len(boxes) <= expected
    assert shared_demo.rows("queue", "list") == []
    shared_demo.send("s@elsewhere.test", "admin@example.test", "Subject: still here\r\n\r\nx\r\n")
    wait_until(lambda: len(shared_demo.inbox("admin")) == len(boxes) + 1)
