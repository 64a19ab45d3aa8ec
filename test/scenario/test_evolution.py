"""Evolution's engine keeps a mailbox with a house, both ways: no flag is lost, nothing is doubled, and it comes back with QRESYNC."""
import pytest

pytest.importorskip("gi")

from harness import camel
from harness.house import IMAPS, PASSWORD
from harness.imap import Line
from harness.net import wait_until
from test_imap_clients import fill, flags_by_subject, mail

pytestmark = pytest.mark.skipif(not camel.available(), reason="evolution-data-server is not unpacked: script/bootstrap test")


def by_subject(known):
    """{subject: flags} of what the engine has."""
    out = {}
    for subject, flags in known.values():
        assert subject not in out, f"{subject} is there twice"
        out[subject] = set(flags)
    return out


def uids(known, *subjects):
    return [uid for uid, (subject, _) in known.items() if subject in subjects]


def numbers(first, last):
    return [f"number {i}" for i in range(first, last)]


def test_two_ways(shared_demo, folder):
    box = Line(shared_demo, "alice")
    fill(box, "INBOX", 40)
    box.ok("SELECT INBOX")
    box.ok("STORE 1:10 +FLAGS (\\Seen)")
    box.ok("STORE 5:15 +FLAGS (\\Flagged $Work)")

    def engine():
        return camel.Camel(folder, shared_demo.port(IMAPS), "alice", PASSWORD)

    def same(one, name="INBOX"):
        one.call("refresh", name)
        assert by_subject(one.call("known", name)) == flags_by_subject(box, name)

    with engine() as one:
        one.call("connect")
        same(one)
        # There: flags set and taken back, one moved, some deleted; here, an appended one, a new folder and its new name.
        known = one.call("known", "INBOX")
        one.call("flag", "INBOX", uids(known, *numbers(0, 3)), ["\\Answered", "$Mine"], ["\\Seen"])
        one.call("flag", "INBOX", uids(known, *numbers(20, 23)), ["\\Deleted"], [])
        one.call("expunge", "INBOX")
        one.call("append", "INBOX", mail(100), ["\\Seen", "\\Flagged"])
        one.call("create", "Plans")
        one.call("rename", "Plans", "Projects")
        one.call("move", "INBOX", uids(known, *numbers(30, 33)), "Projects")
        one.call("copy", "INBOX", uids(known, "number 6"), "Projects")
        there = flags_by_subject(box, "INBOX")
        assert all(there[s] == {"\\Answered", "$Mine"} for s in numbers(0, 3))
        assert there["number 100"] == {"\\Seen", "\\Flagged"}
        assert set(there) == {*numbers(0, 20), *numbers(23, 30), *numbers(33, 40), "number 100"}
        moved = flags_by_subject(box, "Projects")
        assert set(moved) == {*numbers(30, 33), "number 6"} and moved["number 6"] == {"\\Seen", "\\Flagged", "$Work"}
        same(one)
        same(one, "Projects")
        # What others do while it is there. (Of a new message it is told, by NOTIFY; but when it looks is its own affair.)
        box.ok("SELECT INBOX")
        box.ok("UID STORE 11:12 -FLAGS (\\Flagged $Work)")
        box.ok("UID MOVE 13 Archive")
        shared_demo.send("list@elsewhere.test", "alice@example.test", mail(7000))
        wait_until(lambda: one.call("refresh", "INBOX") and uids(one.call("known", "INBOX"), "number 7000"), 60, "the new message")
        same(one)
        known = one.call("known", "INBOX")
        assert one.call("body", "INBOX", *uids(known, "number 15")).strip() == "body 15"
        # (It looks for each of the words.)
        assert sorted(one.call("search", "INBOX", '(match-all (header-contains "subject" "number 3"))')) == \
            sorted(uid for uid, (subject, _) in known.items() if "3" in subject)
        assert one.call("search", "INBOX", '(match-all (body-contains "body 16"))') == uids(known, "number 16")
    # It comes back with what it kept: changes of every kind meanwhile.
    box.ok("SELECT INBOX")
    box.ok("UID STORE 1:4 +FLAGS (\\Seen \\Draft)")
    box.ok("UID STORE 6:8 +FLAGS (\\Deleted)")
    box.ok("UID EXPUNGE 6:8")
    box.append("INBOX", mail(200), "$Forwarded")
    with engine() as one:
        assert one.call("known", "INBOX")
        one.call("connect")
        same(one)
        same(one, "Archive")
    box.close()
