"""bench moving: a large mailbox from Dovecot over IMAP, killed three times on its way and gone on, then out to a Maildir that Dovecot
reads: message by message the same. Prints how long it took, and the memory of the program and of the desk."""
import argparse
import hashlib
import imaplib
import pathlib
import re
import resource
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "test"))

from harness.dovecot_server import DovecotServer, Maildirs  # noqa: E402
from harness.house import BINARY, Demo, remove, scratch  # noqa: E402

ALICE = "alice@example.test"


def digest(box, folder):
    """All of a folder, in little memory: (UIDVALIDITY, messages, one hash of UIDs, flags, dates and bytes)."""
    whole, count = hashlib.sha256(), 0
    validity = re.search(rb"UIDVALIDITY (\d+)", box.status(folder, "(UIDVALIDITY)")[1][0]).group(1)
    total = int(box.select(folder, readonly=True)[1][0])
    for first in range(1, total + 1, 500):
        for item in box.fetch(f"{first}:{min(first + 499, total)}", "(UID FLAGS INTERNALDATE BODY.PEEK[])")[1]:
            if not isinstance(item, tuple):
                continue
            flags = sorted(set(imaplib.ParseFlags(item[0])) - {b"\\Recent"})
            uid = re.search(rb"UID (\d+)", item[0]).group(1)
            whole.update(repr((uid, flags, imaplib.Internaldate2tuple(item[0]), item[1])).encode())
            count += 1
    return validity, count, whole.hexdigest()


def login(server):
    box = imaplib.IMAP4("127.0.0.1", server.port)
    box.login(ALICE, "secret")
    return box


def peak(process):
    """Most resident memory of a program that still runs, in MB."""
    try:
        return int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{process.pid}/status").read_text()).group(1)) / 1024
    except (OSError, AttributeError):
        return 0


def bring(house, server, kill_at=None):
    """(seconds, peak MB, exit code); killed when so many messages have come."""
    process = subprocess.Popen([BINARY, "import", "imap", server.url, ALICE, "--no-tls", "--password-stdin", *house.where()],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    process.stdin.write("secret\n")
    process.stdin.close()
    begin, most = time.monotonic(), 0
    while process.poll() is None:
        most = max(most, peak(process))
        if kill_at is not None:
            (row,) = house.rows("account", "show", ALICE)
            if row["stored"]["messages"] >= kill_at:
                process.send_signal(signal.SIGKILL)
        time.sleep(0.2)
    print(process.stdout.read(), end="")
    return time.monotonic() - begin, most, process.returncode


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", type=int, default=100_000, help="messages")
    n = parser.parse_args().n
    folder = scratch("moving")
    try:
        with DovecotServer(folder / "dovecot") as server, Demo(folder / "demo") as house:
            server.add_user(ALICE, "{PLAIN}secret")
            mail = Maildirs(server, ALICE)
            mail.keywords("", ["Work"])
            for i in range(n):
                mail.put(f"From: a{i}@elsewhere.test\r\nSubject: number {i}\r\nMessage-ID: <{i}@elsewhere.test>\r\n\r\n".encode() +
                         b"A line of a message.\r\n" * (20 + i % 200), "", "SRFa"[i % 4], 1_000_000_000 + i)
            theirs = login(server)
            there = digest(theirs, "INBOX")
            for part in (1, 2, 3):
                seconds, most, code = bring(house, server, n * part // 4)
                print(f"killed with {part}/4 of them here after {seconds:.1f} s: exit {code}, {most:.1f} MB at most")
                house.send("s@elsewhere.test", "bob@example.test", b"Subject: meanwhile\r\n\r\nhi\r\n")
            seconds, most, code = bring(house, server)
            print(f"gone on to the end in {seconds:.1f} s: exit {code}, {most:.1f} MB at most")
            seconds, most, code = bring(house, server)
            print(f"once more, with nothing to bring: {seconds:.1f} s, {most:.1f} MB at most")
            desk = house.pids()["desk", 0]
            print(f"the desk: {int(re.search(r'VmHWM:[ ]*([0-9]+)', pathlib.Path(f'/proc/{desk}/status').read_text().replace(chr(9), ' ')).group(1)) / 1024:.1f} MB at most")
            ours = house.imap("alice")
            here = digest(ours, "INBOX")
            print("here as there, message by message:", here == there, f"({here[1]} messages)")
            begin = time.monotonic()
            house.run("export", "maildir", ALICE, folder / "out", "--folder", "INBOX", timeout=3600)
            children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
            print(f"written as a Maildir in {time.monotonic() - begin:.1f} s (no child took more than {children:.1f} MB)")
            with DovecotServer(folder / "another") as reader:
                reader.add_user(ALICE, "{PLAIN}secret")
                reader.take_mail(ALICE, folder / "out")
                read = digest(login(reader), "INBOX")
                print("read by Dovecot, the same again:", read == there)
            ours.logout()
            return 0 if here == there == read else 1
    finally:
        remove(folder)


if __name__ == "__main__":
    sys.exit(main())
