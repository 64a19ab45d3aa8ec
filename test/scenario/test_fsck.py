"""`posthouse fsck`: what it finds, mends and puts aside, in a house that runs and in one that does not."""
import random
import sqlite3
import subprocess

import pytest

from harness.house import BINARY, CommandFailed, Demo
from harness.net import wait_until

TEXT = b"Subject: message %d\r\nFrom: s@elsewhere.test\r\n\r\n" + b"line of text\r\n" * 100


def fill(house, n=20):
    for i in range(n):
        house.send("s@elsewhere.test", "alice@example.test", TEXT % i)
    wait_until(lambda: len(house.inbox("alice")) == n)


def account(house, name="alice"):
    (row,) = [row for row in house.rows("account", "list") if row["address"] == f"{name}@example.test"]
    (folder,) = house.data.glob(f"accounts/*/{row['id']}")
    return folder


def flaws(rows):
    return [row for row in rows if "kind" in row]


@pytest.mark.sanitized
def test_a_damaged_account(folder):
    house = Demo(folder / "demo").start()
    fill(house)
    assert flaws(house.rows("fsck")) == []
    house.stop()
    path = account(house)
    with sqlite3.connect(path / "mail.db") as db:
        db.execute("DELETE FROM placements WHERE uid = 3")
        db.execute("UPDATE mailboxes SET messages = 1000 WHERE name = 'INBOX'")
    db.close()
    # Without a house, and nothing is changed.
    kinds = {row["kind"] for row in flaws(house.rows("fsck"))}
    assert kinds == {"email_unplaced", "mailbox_counts"}
    with house:
        box = house.imap("alice")
        box.select("INBOX")
        rows = house.rows("fsck", "alice@example.test", "--repair")
        assert {row["kind"] for row in flaws(rows)} == kinds
        assert all(row["mended"] == "yes" for row in flaws(rows))
        assert flaws(house.rows("fsck")) == []
        assert len(house.inbox("alice")) == 19
        (found,) = house.inbox("alice", "Recovered")
        assert b"Subject: message 2" in found
    # A page in the middle of the file is gone.
    size = (path / "mail.db").stat().st_size
    with open(path / "mail.db", "r+b") as f:
        f.seek(size // 2 // 4096 * 4096)
        f.write(bytes(4096))
    with house:
        (row,) = flaws(house.rows("fsck"))
        assert row["kind"] == "database_damaged" and row["where"] == "alice@example.test"
        house.run("fsck", "--repair")
        assert flaws(house.rows("fsck")) == []
        assert len(list(path.glob("aside/mail.db-*"))) >= 1
        here = len(house.inbox("alice")) + len(house.inbox("alice", "Recovered"))
        assert here >= 10
        house.send("s@elsewhere.test", "alice@example.test", TEXT % 99)
        wait_until(lambda: any(b"message 99" in raw for raw in house.inbox("alice")))
