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
import select
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

ROLES = ("vault", "gate", "porch", "desk", "clerk", "courier", "reader")
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

    def told(self, *words):
        """The log says so, within seconds: lines travel through the keeper."""
        return wait_until(lambda: self.logged(*words), 10, f"a line with {words}")

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
    # Room for the joined log of the queue (64 MB, twice that at worst) beside the mail.
    with tmpfs(folder / "disk", "320m") as disk, \
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
        assert house.told("event=disk_low", " do=")
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
        reply = sender.one()[0]
        assert reply[0] == 250, (reply, free_bytes(disk), house.log()[-1500:])
        assert box.append("INBOX", None, None, b"Subject: small\r\n\r\nz")[0] == "OK"
        box.logout()
        retry_all(house)
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


@pytest.mark.slow
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
        os.kill(house.pids()["desk", 0], signal.SIGKILL)
        wait_until(lambda: len(house.logged("event=role_ready", "of=desk")) == 2)
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
    assert house.told("event=account_unavailable", house.account("alice")["id"], "mail.db"), "the log names account and file"
    print("\n".join(house.log().splitlines()[-12:]), house.run("queue", "list"))
    assert house.stop() == 0
    # The operator brings the file back: all that was acknowledged is there.
    for p in path.parent.glob("mail.db*"):
        p.unlink()
    for p, raw in original.items():
        p.write_bytes(raw)
    house.start()
    retry_all(house)
    sender.check()
    assert house.stop() == 0
    house.check_log()


@pytest.mark.sanitized
@pytest.mark.parametrize("name", ["queue.db", "directory.db", "vault.db"])
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


@pytest.mark.slow
@pytest.mark.sanitized
def test_bodies_gone(folder):
    """A large body that is missing or cut off, in the queue and in a mailbox: told so; the rest goes on."""
    with Faulty(folder / "house") as house:
        sender = Sender(house)
        for _ in range(3):
            assert sender.one(300000)[0][0] == 250
        assert sender.one(user="alice")[0][0] == 250
        sender.check()
        # In a mailbox.
        blobs = sorted(p for p in house.mail_db("alice").parent.rglob("blobs/**/*") if p.is_file())
        raw = blobs[0].read_bytes()
        for spoil in (lambda: blobs[0].unlink(), lambda: blobs[0].write_bytes(raw[:1000])):
            spoil()
            box = house.imap(house.login("alice"))
            box.select()
            try:
                kind, text = box.fetch("1", "(BODY.PEEK[])")
                assert kind == "NO", (kind, text)
                assert box.noop()[0] == "OK"
            except imaplib.IMAP4.abort as error:
                assert "BYE" in str(error) or "EOF" in str(error)
            pop = house.pop3(house.login("alice"))
            with pytest.raises(poplib.error_proto) as refusal:
                pop.retr(1)
            assert "-ERR" in str(refusal.value), refusal.value
            pop.quit()
            assert house.told("event=body_unreadable", house.account("alice")["id"], blobs[0].name, " do=")
            # The others are still read, and those who ask for no content do not notice.
            kind = box.fetch("1:*", "(FLAGS BODY.PEEK[])")[0]
            found = box.response("FETCH")[1]
            assert kind == "NO" and any(b"fault3@" in f[1] for f in found if isinstance(f, tuple))
            box.logout()
        blobs[0].write_bytes(raw)
        assert sender.numbers("alice")
        # In the queue: the desk stands still, so that the message waits.
        desk = house.pids()["desk", 0]
        os.kill(desk, signal.SIGSTOP)
        replies = [sender.one(300000, user)[0][0] for user in ("alice", "bob")]
        assert replies == [250, 250]
        waiting = sorted(p for p in house.data.rglob("queue/blobs/*") if p.is_file())
        assert len(waiting) == 2
        raws = [p.read_bytes() for p in waiting]
        assert house.run("queue", "list")
        os.kill(house.pids()["clerk", 0], signal.SIGKILL)
        waiting[0].unlink()
        os.truncate(waiting[1], 5000)
        os.kill(desk, signal.SIGKILL)
        wait_until(lambda: len(house.logged("event=body_unreadable", " do=")) >= 2, 30, "lines about the bodies")
        wait_until(lambda: sender.one()[0][0] == 250, 20, "mail again")
        wait_until(lambda: len(rows(house)) == 2, 20)
        for p, r in zip(waiting, raws):
            p.write_bytes(r)
        retry_all(house)
        sender.check()


def rows(house):
    try:
        return house.rows("queue", "list")
    except CommandFailed:
        return []


def retry_all(house):
    """Tries all that waits now; what has left since it was listed is fine."""
    for row in house.rows("queue", "list"):
        try:
            house.run("queue", "retry", row["id"])
        except CommandFailed as e:
            if e.code != os.EX_NOUSER:
                raise


@pytest.mark.slow
@pytest.mark.sanitized
@pytest.mark.parametrize("name", ["queue.db", "directory.db", "mail.db"])
def test_locked_database(folder, name):
    """Another process holds a lock: asked to come again, and all goes on when it lets go."""
    with Faulty(folder / "house", "[limits]\naccount_handle_idle_ms = 200\n") as house:
        sender = Sender(house)
        for _ in range(3):
            assert sender.one()[0][0] == 250
        sender.check()
        path = house.mail_db("alice") if name == "mail.db" else next(house.data.rglob(name))
        if name == "mail.db":
            desk = house.pids()["desk", 0]
            os.kill(desk, signal.SIGKILL)
        holder = sqlite3.connect(path, isolation_level=None, timeout=5)
        holder.execute("BEGIN IMMEDIATE" if name != "mail.db" else "BEGIN EXCLUSIVE")
        started = time.monotonic()
        reply = sender.one(user="alice")[0]
        print(name, reply, time.monotonic() - started)
        if name == "queue.db":
            assert reply[0] == 451, reply
            assert house.told("event=message_not_taken", "error=busy", " do=")
        else:
            assert reply[0] == 250
        if name == "mail.db":
            wait_until(lambda: house.logged("event=account_unavailable", house.account("alice")["id"], "in use"), 20)
        holder.execute("ROLLBACK")
        holder.close()
        wait_until(lambda: sender.one(user="alice")[0][0] == 250, 20)
        retry_all(house)
        sender.check()


# ---- processes that hang, and their keeper ----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.sanitized
def test_roles_that_stand_still(folder):
    """Each role is stopped for three seconds under load, then goes on."""
    with Faulty(folder / "house") as house:
        sender = Sender(house).start()
        for role in ROLES:
            pid = house.pids()[role, 0]
            before = len(sender.acknowledged)
            os.kill(pid, signal.SIGSTOP)
            started = time.monotonic()
            if role in ("gate", "vault"):
                row = next(r for r in house.rows("status") if r.get("role") == role)
                assert row.get("answers") is False, row
            time.sleep(max(0, 3 - (time.monotonic() - started)))
            os.kill(pid, signal.SIGCONT)
            wait_until(lambda: len(sender.acknowledged) > before + 3, 30, f"mail after the {role} stood still")
            box = house.imap(house.login("bob"))
            assert box.select()[0] == "OK"
            box.logout()
            assert house.pids()[role, 0] == pid, f"the {role} was replaced"
        sender.stop()
        assert len(sender.acknowledged) > 20
        sender.check()


def children(pid):
    return [int(p) for p in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


@pytest.mark.sanitized
def test_keeper_killed(folder):
    """Its children end by themselves, the lock is free, and the next start finds everything."""
    house = Faulty(folder / "house")
    house.start()
    sender = Sender(house).start()
    wait_until(lambda: len(sender.acknowledged) > 20)
    pids = children(house.process.pid)
    assert len(pids) == 7  # with the first of the readers
    # One that stands still at this moment must not hold the lock for ever either.
    os.kill(pids[2], signal.SIGSTOP)
    house.process.kill()
    house.process.wait()
    wait_until(lambda: not any(alive(pid) for pid in pids), 5, "the end of all children")
    house.log_file.close()
    house.start()
    before = len(sender.acknowledged)
    wait_until(lambda: len(sender.acknowledged) > before, 20)
    sender.stop()
    sender.check()
    assert house.stop() == 0
    house.check_log()


@pytest.mark.slow
@pytest.mark.sanitized
def test_reloads_under_load(folder):
    """SIGHUP five times a second; a broken configuration changes nothing and says why."""
    with Faulty(folder / "house") as house:
        sender = Sender(house).start()
        box = house.imap(house.login("alice"))
        box.select()
        idle = house.imap(house.login("bob"))
        idle.select()
        good = house.config_path.read_text()
        end = time.monotonic() + 5
        n = 0
        while time.monotonic() < end:
            n += 1
            house.config_path.write_text(good if n % 3 else good + "[house]\nnonsense = yes\n")
            house.process.send_signal(signal.SIGHUP)
            time.sleep(0.2)
            assert box.noop()[0] == "OK"
            assert box.append("INBOX", None, None, f"Subject: reload {n}\r\n\r\nx\r\n".encode())[0] == "OK"
        assert idle.noop()[0] == "OK"
        idle.logout()
        box.logout()
        sender.stop()
        assert not house.logged("event=role_died") and not house.logged("event=role_restarts")
        assert house.told("event=reload_refused", "line ", "there already")
        house.config_path.write_text(good)
        refused = len(house.logged("event=reload_refused"))
        assert len(house.logged("event=reloaded")) >= 5 and refused >= 3
        assert len(sender.acknowledged) > 20
        assert not [r for r in sender.replies if r[0] not in (250, 421, 451)]
        sender.check()


@pytest.mark.sanitized
def test_end_under_load(folder):
    """SIGTERM: sessions are told, work is finished, exit code 0, everything acknowledged is there at the next start."""
    house = Faulty(folder / "house")
    house.start()
    sender = Sender(house).start(5)
    box = house.imap(house.login("alice"))
    box.select()
    waiting = socket.create_connection(("127.0.0.1", house.port(SMTP)))
    lines = waiting.makefile("rb")
    assert lines.readline().startswith(b"220")
    silent = socket.create_connection(("127.0.0.1", house.port(IMAP)))
    assert silent.recv(100).startswith(b"* OK")
    wait_until(lambda: len(sender.acknowledged) > 20)
    started = time.monotonic()
    assert house.stop() == 0
    assert time.monotonic() - started < 20
    assert lines.readline().startswith(b"421")
    assert b"BYE" in silent.recv(1000)
    with pytest.raises((imaplib.IMAP4.abort, OSError)) as error:
        box.noop()
    print(error.value)
    assert not house.logged(" error ") and not house.logged("event=role_killed"), house.logged(" error ")
    house.start()
    before = len(sender.acknowledged)
    wait_until(lambda: len(sender.acknowledged) > before, 20)
    sender.stop()
    sender.check()
    assert house.stop() == 0
    house.check_log()


# ---- clients and descriptors ------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.sanitized
def test_few_descriptors(folder):
    """The gate and the porch run out of descriptors: accepting waits, and goes on when some are free again."""
    with Faulty(folder / "house", "[limits]\nsmtp_sessions_per_address = 1000\n") as house:
        sender = Sender(house)
        assert sender.one()[0][0] == 250
        for role, service in (("gate", SMTP), ("porch", IMAP)):
            pid = house.pids()[role, 0]
            open_now = len(os.listdir(f"/proc/{pid}/fd"))
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (open_now + 5, open_now + 5))
            held = []
            for _ in range(20):
                s = socket.create_connection(("127.0.0.1", house.port(service)))
                held.append(s)
            time.sleep(1)
            greeted = len(select.select(held, [], [], 0)[0])
            print(role, "greeted", greeted)
            assert 0 < greeted < 20
            cpu = cpu_seconds(pid)
            time.sleep(1)
            assert cpu_seconds(pid) - cpu < 0.5, "it spins"
            for s in held:
                s.close()
            wait_until(lambda: sender_or_imap(house, role, sender), 20, f"the {role} again")
            assert house.pids()[role, 0] == pid
        sender.check()


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def sender_or_imap(house, role, sender):
    try:
        if role == "gate":
            return sender.one()[0][0] == 250
        box = house.imap(service=IMAP)
        return box.noop()[0] == "OK" and box.logout()
    except (OSError, imaplib.IMAP4.error, smtplib.SMTPException):
        return False


@pytest.mark.sanitized
def test_clients_that_vanish(folder):
    """Half commands, half messages and sockets that say nothing: they cost little and end at their time."""
    with Faulty(folder / "house", "[limits]\nsmtp_sessions_per_address = 1000\n") as house:
        sender = Sender(house)
        held = []
        for n in range(300):
            s = socket.create_connection(("127.0.0.1", house.port(SMTP if n % 2 else IMAP)))
            s.sendall((b"EHLO half.test\r\nMAIL FROM:<a@b.te" if n % 4 == 1 else
                       b"EHLO h\r\nMAIL FROM:<>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\nhalf" if n % 4 == 3 else b"a LOGIN alice {5"))
            held.append(s)
        for _ in range(5):
            assert sender.one()[0][0] == 250
        sender.check()
        # Gone with a reset: nothing stays.
        for s in held:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            s.close()
        assert sender.one()[0][0] == 250
        sender.check()
        for role in ("gate", "porch"):
            wait_until(lambda: len(os.listdir(f"/proc/{house.pids()[role, 0]}/fd")) < 60, 20, f"few descriptors in the {role}")


@pytest.mark.sanitized
def test_clock_advances_while_mail_waits(folder):
    """Mail that waits for a desk that stands still keeps through jumps of the clock, and arrives once."""
    with Faulty(folder / "house") as house:
        assert house.run("clock", "advance", "3h") is not None
        sender = Sender(house)
        assert sender.one()[0][0] == 250
        desk = house.pids()["desk", 0]
        os.kill(desk, signal.SIGSTOP)
        for _ in range(3):
            assert sender.one()[0][0] == 250
        clock = threading.Thread(target=lambda: house.run("clock", "advance", "2h", check=False))
        clock.start()
        time.sleep(2)
        os.kill(desk, signal.SIGCONT)
        clock.join()
        house.run("clock", "advance", "1h")
        sender.check()
