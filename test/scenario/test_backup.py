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
from test_faults import fill as fill_disk, root_only, tmpfs

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


def test_a_folder_and_a_message_come_back_into_a_living_account(demo, tmp_path):
    fill(demo)
    box = demo.imap("alice")
    box.create("Work")
    box.select("INBOX")
    box.uid("COPY", "1:3", "Work")
    box.select("Work")
    box.uid("STORE", "2", "+FLAGS", r"(\Flagged $Label1)")
    before = mail(demo, "alice")
    demo.run("backup", tmp_path / "b")
    key = tmp_path / "key"
    key.write_text(demo.run("backup", "key"))
    # Another session stays, and sees the message come back.
    watcher = demo.imap("alice")
    watcher.select("INBOX")
    box.delete("Work")
    box.select("INBOX")
    box.uid("STORE", "2,4", "+FLAGS", r"(\Deleted)")
    box.expunge()
    assert len(demo.inbox("alice")) == 3
    gone = [raw for where, raw in before.items() if b"small 3" in raw][0]
    args = ("restore", tmp_path / "b", "--account", "alice@example.test", "--scratch", tmp_path)
    (emailid,) = {re.search(rb"EMAILID \((.*?)\)", where[2])[1].decode() for where, raw in before.items() if raw == gone}
    demo.run(*args, "--message", emailid)
    assert len(demo.inbox("alice")) == 4 and gone in demo.inbox("alice")
    watcher.noop()
    assert watcher.response("EXISTS")[1][-1] == b"4"
    demo.run(*args, "--folder", "Work")
    after = mail(demo, "alice")
    # What is in INBOX all the while is not brought again; what was nowhere any more is.
    assert {raw for (name, *_), raw in after.items() if name == "Work"} == \
        {raw for (name, *_), raw in before.items() if name == "Work" and b"small 1" in raw}
    assert [key for key in after if key[0] == "Work"] == [key for key in before if key[0] == "Work" and b"UID 2 " in key[2]]
    demo.run(*args)
    everything = mail(demo, "alice")
    assert set(everything.values()) == set(before.values())
    assert len(everything) == 5
    # Once more, with the key of a file: nothing comes twice.
    demo.run(*args, "--key-file", key)
    assert mail(demo, "alice") == everything
    with pytest.raises(CommandFailed, match="no account"):
        demo.run("restore", tmp_path / "b", "--account", "nobody@example.test")
    with pytest.raises(CommandFailed, match="no such message"):
        demo.run(*args, "--message", "nothing@like.this")
    watcher.noop()


def test_backups_that_are_cut_off_or_damaged(demo, tmp_path):
    fill(demo)
    dest = tmp_path / "b"
    demo.run("backup", dest)
    key = tmp_path / "key"
    key.write_text(demo.run("backup", "key"))
    for n in range(8):
        demo.send("s@elsewhere.test", "bob@example.test", large(10 + n))
        process = subprocess.Popen([BINARY, "backup", str(dest), *demo.where()], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.01 * n)  # wherever that is
        process.kill()
        process.wait()
        rows = demo.rows("restore", dest, "--verify", "--scratch", tmp_path)
        assert all(row["damaged_files"] == row["messages_missing"] == 0 and "database" not in row for row in rows)
    wait_until(lambda: len(demo.inbox("bob")) == 9)
    demo.run("backup", dest)
    rows = {row["account"]: row for row in demo.rows("restore", dest, "--verify", "--scratch", tmp_path)}
    assert rows["bob@example.test"]["messages"] == 9
    # Another house has another key, and does not write into this folder.
    wrong = tmp_path / "wrong"
    wrong.write_text("00" * 32)
    with pytest.raises(CommandFailed, match="the key is not the one"):
        demo.run("backup", "list", dest, "--key-file", wrong)
    with pytest.raises(CommandFailed, match="no key of a backup"):
        demo.run("backup", "list", dest, "--key-stdin", input="abc\n")
    with pytest.raises(CommandFailed, match="with the key of its backups"):
        demo.run("restore", dest)
    with pytest.raises(CommandFailed, match="something else in it"):
        demo.run("backup", tmp_path)
    # Bits flip in the destination: it is noticed, told, and mended by reading everything again. In all large pieces, since some are of older
    # backups only.
    for piece in dest.glob("objects/*/*"):
        data = bytearray(piece.read_bytes())
        if len(data) > 50000:
            data[len(data) // 2] ^= 4
            piece.write_bytes(data)
    with pytest.raises(CommandFailed) as failed:
        demo.run("restore", dest, "--verify", "--scratch", tmp_path, "--json")
    assert "damaged" in failed.value.out
    demo.run("backup", dest, "--whole")
    demo.run("restore", dest, "--verify", "--scratch", tmp_path)
    # Old ones go, and what only they had.
    (row,) = demo.rows("backup", "prune", dest, "--keep-days", "1")
    assert row["pruned"] >= 2
    assert len(demo.rows("backup", "list", dest)) == 1
    demo.run("restore", dest, "--verify", "--scratch", tmp_path)


def test_a_restore_that_is_cut_off(folder, tmp_path):
    with Demo(folder / "demo") as demo:
        fill(demo)
        before = mail(demo, "alice")
        demo.run("backup", tmp_path / "b")
        (tmp_path / "key").write_text(demo.run("backup", "key"))
    again = Demo(tmp_path / "again")
    args = ["restore", tmp_path / "b", "--key-file", tmp_path / "key"]
    process = subprocess.Popen([BINARY, *map(str, args), *again.where()], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    # As soon as it has begun to write.
    wait_until(lambda: (again.data / "restoring").exists() or process.poll() is not None)
    process.kill()
    process.wait()
    if (again.data / "restoring").exists():
        with pytest.raises(RuntimeError, match="was cut off"):
            again.start()
        again.process = None
    else:
        subprocess.run(["rm", "-r", str(again.data)], check=True)
    again.run(*args)
    with again:
        assert mail(again, "alice") == before


@root_only
def test_a_destination_that_fills(demo, tmp_path):
    fill(demo)
    with tmpfs(tmp_path / "disk", "24m") as disk:
        dest = disk / "b"
        (first,) = demo.rows("backup", dest)
        for n in range(6):
            demo.send("s@elsewhere.test", "bob@example.test", large(20 + n))
        wait_until(lambda: len(demo.inbox("bob")) == 7)
        fill_disk(disk, 200000)
        with pytest.raises(CommandFailed, match="is full") as failed:
            demo.run("backup", dest)
        assert failed.value.code == os.EX_TEMPFAIL
        # What was complete is as it was, and the next one goes through.
        (row,) = demo.rows("backup", "list", dest)
        assert row["backup"] == first["backup"]
        (disk / "filler").unlink()
        demo.run("backup", dest)
        rows = {row["account"]: row for row in demo.rows("restore", dest, "--verify", "--scratch", tmp_path)}
        assert rows["bob@example.test"]["messages"] == 7
