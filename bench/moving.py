"""bench moving: a large account moves in from Dovecot over IMAP while new mail arrives at both ends; the program is killed three times on
its way and gone on. Then out to a Maildir that Dovecot reads. Each time every message is compared: folder, flags, date, bytes, and UID where it is
kept. Prints how long it took, what it cost, and the memory of the program and of the desk on the way.

    bench/moving.py [--messages 100000] [--corpus FOLDER]

The messages are those of the corpus (real mail, one a file; made up ones where there is none), over and over, with their headers changed."""
import argparse
import hashlib
import imaplib
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "test"))

from harness.dovecot_server import DovecotServer, Maildirs  # noqa: E402
from harness.house import BINARY, TOP, Demo, remove, scratch  # noqa: E402
from harness.net import wait_until  # noqa: E402

ALICE = "alice@example.test"
FOLDERS = ("", "", "", "Sent", "Lists.one", "Lists.two", "Archive", "Archive.2001")


# ---- what is moved ----

def corpus(folder):
    """Texts of messages, with line feeds alone."""
    texts = []
    for path in sorted(pathlib.Path(folder).rglob("*")) if folder else []:
        if path.is_file() and path.name != "cmds":
            text = path.read_bytes().replace(b"\r\n", b"\n")
            texts.append(text.partition(b"\n")[2] if text.startswith(b"From ") else text)
    return texts or [b"From: a@elsewhere.test\nSubject: made up\n\n" + b"A line of a message.\n" * (20 + n * 7 % 400) for n in range(500)]


def fill(mail, texts, n):
    for name in set(FOLDERS):
        mail.keywords(name, ["Work", "$Forwarded"])
    for i in range(n):
        flags = "".join(letter for k, letter in enumerate("SRFD") if i * 7 >> k & 1) + ("", "a", "b", "ab")[i % 4]
        mail.put(b"X-Copy: %d\nMessage-ID: <%d@elsewhere.test>\n" % (i, i) + texts[i % len(texts)], FOLDERS[i % len(FOLDERS)], flags,
                 1_000_000_000 + 61 * i)


class Arriving:
    """New mail at the old server, for folders in turn, and, once the MX has been switched, at this house; until it is stopped."""

    def __init__(self, mail, house):
        self.mail, self.house = mail, house
        self.there = self.here = 0
        self.switched, self.stopped = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self.work)
        self.thread.start()

    def work(self):
        while not self.stopped.wait(0.2):
            self.mail.put(b"Subject: new there %d\n\nhi\n" % self.there, FOLDERS[self.there % len(FOLDERS)], "F"[:self.there % 2],
                          1_600_000_000 + self.there)
            self.there += 1
            if self.switched.is_set():
                self.house.send("s@elsewhere.test", ALICE, b"Subject: new here %d\r\n\r\nhi\r\n" % self.here)
                self.here += 1

    def stop(self):
        self.stopped.set()
        self.thread.join()


# ---- what is there ----

def login(server):
    box = imaplib.IMAP4("127.0.0.1", server.port)
    box.login(ALICE, "secret")
    return box


def folder_of(box, name):
    """(UIDVALIDITY, {UID: hash of flags, date and bytes}); mail that has arrived at the house itself is left out."""
    found = {}
    validity = re.search(rb"UIDVALIDITY (\d+)", box.status(f'"{name}"', "(UIDVALIDITY)")[1][0]).group(1)
    total = int(box.select(f'"{name}"', readonly=True)[1][0])
    for first in range(1, total + 1, 500):
        for item in box.fetch(f"{first}:{min(first + 499, total)}", "(UID FLAGS INTERNALDATE BODY.PEEK[])")[1]:
            if isinstance(item, tuple) and b"Subject: new here" not in item[1]:
                flags = sorted(set(imaplib.ParseFlags(item[0])) - {b"\\Recent"})
                about = repr((flags, imaplib.Internaldate2tuple(item[0]))).encode()
                found[int(re.search(rb"UID (\d+)", item[0]).group(1))] = hashlib.sha256(about + item[1]).digest()[:16]
    return validity, found


def everything(box):
    """{folder: folder_of() of it}, with / between levels."""
    found = {}
    for line in box.list()[1]:
        attributes, delimiter, name = re.fullmatch(rb'\((.*?)\) "(.)" "?(.*?)"?', line).groups()
        if b"\\Noselect" not in attributes:
            found[name.replace(delimiter, b"/").decode()] = folder_of(box, name.decode())
    return {name: v for name, v in found.items() if v[1]}


def same_messages(one, other):
    return {name: sorted(v[1].values()) for name, v in one.items()} == {name: sorted(v[1].values()) for name, v in other.items()}


def same_uids(before, here):
    """Whether what was there before has come with its UIDs."""
    for name, (validity, uids) in before.items():
        if validity != here[name][0] or not uids.items() <= here[name][1].items():
            print(f"{name}: UIDVALIDITY {validity} {here[name][0]}, {len(uids.items() - here[name][1].items())} messages have another UID")
            return False
    return True


# ---- the program at work ----

def family(pid):
    found = [pid]
    for path in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        for child in path.read_text().split():
            found += family(int(child))
    return found


def peak(pids):
    """Most resident memory of processes that still run, in MB."""
    most = 0
    for pid in pids:
        try:
            most += int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text()).group(1)) / 1024
        except (OSError, AttributeError):
            pass
    return most


class Run:
    """A command of the house, watched: how long it takes, and the memory of its processes after each quarter of `n` messages."""

    def __init__(self, house, n, *arguments, kill_at=None):
        process = subprocess.Popen([BINARY, *map(str, arguments), *house.where()], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                   text=True)
        process.stdin.write("secret\n")
        process.stdin.close()
        begin, self.most, self.memory = time.monotonic(), 0, {}
        while process.poll() is None:
            try:
                self.most = max(self.most, peak(family(process.pid)))
            except OSError:
                pass
            stored = house.rows("account", "show", ALICE)[0]["stored"]["messages"]
            self.memory.setdefault(stored * 4 // n, round(self.most, 1))
            if kill_at is not None and stored >= kill_at:
                process.send_signal(signal.SIGKILL)
            time.sleep(0.5)
        self.seconds, self.code = time.monotonic() - begin, process.returncode

    def __str__(self):
        return f"{self.seconds:.1f} s, exit {self.code}, {self.most:.1f} MB at most"


def bring(house, server, n, kill_at=None):
    return Run(house, n, "import", "imap", server.url, ALICE, "--no-tls", "--password-stdin", kill_at=kill_at)


def move_in(house, server, mail, n):
    """What is there at the end."""
    before = everything(login(server))
    arriving = Arriving(mail, house)
    try:
        for part in (1, 2, 3):
            run = bring(house, server, n, n * part // 4)
            print(f"killed with {part}/4 of them here: {run}", flush=True)
        run = bring(house, server, n)
        print(f"gone on to the end: {run}", flush=True)
        arriving.switched.set()
        run = bring(house, server, n)
        print(f"again, with the MX switched: {run}", flush=True)
        wait_until(lambda: arriving.here >= 50)
    finally:
        arriving.stop()
    last = bring(house, server, n)
    print(f"once more: {last}; meanwhile {arriving.there} messages had come there and {arriving.here} here", flush=True)
    desks = [pid for (role, _), pid in house.pids().items() if role == "desk"]
    print(f"the desks: {peak(desks):.1f} MB at most", flush=True)
    with house.imap("alice") as box:
        there, here = everything(login(server)), everything(box)
    print("here as there, message by message:", same_messages(there, here), f"({sum(len(v[1]) for v in here.values())} messages)")
    print("with the UIDs and UIDVALIDITY that they had:", same_uids(before, here), flush=True)
    return here, same_messages(there, here) and same_uids(before, here) and last.code == 0


def move_out(house, folder, n, here):
    run = Run(house, n, "export", "maildir", ALICE, folder / "out")
    print(f"written as a Maildir: {run}", flush=True)
    with DovecotServer(folder / "another") as reader:
        reader.add_user(ALICE, "{PLAIN}secret")
        reader.take_mail(ALICE, folder / "out")
        read = everything(login(reader))
    print("read by Dovecot, the same again, UIDs too:", read == here, flush=True)
    return read == here


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", "-n", type=int, default=100_000)
    parser.add_argument("--corpus", type=pathlib.Path, default=TOP.parent / "shared" / "corpus", help="a folder of messages")
    args = parser.parse_args()
    folder = scratch("moving")
    try:
        with DovecotServer(folder / "dovecot") as server, Demo(folder / "demo", plain=True) as house:
            server.add_user(ALICE, "{PLAIN}secret")
            mail = Maildirs(server, ALICE)
            fill(mail, corpus(args.corpus), args.messages)
            here, good = move_in(house, server, mail, args.messages)
            return 0 if move_out(house, folder, args.messages, here) and good else 1
    finally:
        remove(folder)


if __name__ == "__main__":
    sys.exit(main())
