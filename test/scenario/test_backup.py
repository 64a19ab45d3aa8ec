"""Backups: written while the house runs, restored whole, looked through, pruned; and what happens when something is wrong with them."""
import json
import os
import re
import signal
import subprocess
import time

import pytest

from harness.house import BINARY, CommandFailed, Demo
from harness.net import wait_until

SMALL = b"Subject: small %d\r\nFrom: s@elsewhere.test\r\n\r\nText %d\r\n"


def large(n):
    line = b"%08d" % n * 9 + b"\r\n"
    return b"Subject: large %d\r\nFrom: s@elsewhere.test\r\n\r\n" % n + line * 3000


def fill(house, numbers=range(5)):
    for n in numbers:
        house.send("s@elsewhere.test", "alice@example.test", SMALL % (n, n))
    house.send("s@elsewhere.test", "bob@example.test", large(1))
    wait_until(lambda: len(house.inbox("alice")) >= len(numbers) and len(house.inbox("bob")) >= 1)


def mail(house, user):
    """What IMAP tells of every message of every mailbox: mailbox, UIDVALIDITY, UID, flags, date, text, EMAILID."""
    box = house.imap(user)
    found = {}
    for line in box.list()[1]:
        name = line.decode().split(' "/" ')[1].strip('"')
        box.select(f'"{name}"', readonly=True)
        validity = box.response("UIDVALIDITY")[1][0]
        kind, data = box.uid("FETCH", "1:*", "(UID FLAGS INTERNALDATE EMAILID BODY.PEEK[])")
        for item in data:
            if isinstance(item, tuple):
                # \\Recent is of a session, not of a message.
                about = item[0].split(b" BODY[]")[0].split(b"(", 1)[1]
                found[name, validity, re.sub(rb" ?\\Recent ?", b" ", about).replace(b"( ", b"(").replace(b"  ", b" ")] = item[1]
    box.logout()
    return found


def settle(house):
    """Marks of files count once they are two seconds old."""
    time.sleep(2.1)


@pytest.mark.sanitized
def test_backup_and_restore_of_a_whole_house(folder, tmp_path):
    demo = Demo(folder / "demo").start()
    fill(demo)
    box = demo.imap("alice")
    box.create("Lists/one")
    box.select("INBOX")
    box.uid("STORE", "2", "+FLAGS", r"(\Flagged $Label1)")
    box.uid("COPY", "3", "Lists/one")
    box.uid("STORE", "4", "+FLAGS", r"(\Deleted)")
    box.expunge()
    before = {user: mail(demo, user) for user in ("alice", "bob")}
    key = json.loads(demo.run("backup", "key", "--json"))["key"]
    assert "".join(demo.run("backup", "key").split("\n\n")[0].split()) == key

    dest = tmp_path / "backups"
    (first,) = demo.rows("backup", dest)
    assert first["accounts"] == 3 and first["bytes_written"] > 100000
    settle(demo)
    # Nothing but the books' counters has changed.
    demo.rows("backup", dest)
    (third,) = demo.rows("backup", dest)
    assert third["accounts_unchanged"] == 3
    assert third["bytes_written"] < first["bytes_written"] / 4
    assert len(demo.rows("backup", "list", dest)) == 3
    # Nobody can read anything in it.
    for path in dest.rglob("*"):
        if path.is_file():
            assert b"elsewhere.test" not in path.read_bytes()
    # What comes later is not in it.
    demo.send("s@elsewhere.test", "alice@example.test", SMALL % (99, 99))
    wait_until(lambda: any(b"small 99" in raw for raw in demo.inbox("alice")))
    rows = demo.rows("restore", dest, "--verify", "--scratch", tmp_path)
    accounts = {row["account"]: row for row in rows}
    assert accounts["bob@example.test"]["messages"] == 1 == accounts["bob@example.test"]["messages_in_house"]
    assert accounts["alice@example.test"]["messages_in_house"] == accounts["alice@example.test"]["messages"] + 1
    assert all(row["damaged_files"] == row["messages_missing"] == 0 for row in rows)
    demo.kill()
    demo.check_log()

    (tmp_path / "key").write_text(key)
    again = Demo(tmp_path / "again")
    (row,) = again.rows("restore", dest, "--key-file", tmp_path / "key")
    assert row["damaged"] == 0 and row["accounts"] == 3
    with again:
        for user in ("alice", "bob"):
            assert mail(again, user) == before[user]
        # No UID is given twice.
        last = int(again.imap("alice").status("INBOX", "(UIDNEXT)")[1][0].split(b"UIDNEXT ")[1].strip(b")"))
        assert last > 6
    with pytest.raises(CommandFailed, match="there is a house in"):
        again.run("restore", dest, "--key-file", tmp_path / "key")
