"""What a signed-in client may try against the commands on messages: programs of ten thousand terms, nesting, sets, sections and threads
that cost much. Others of the house must be served meanwhile, and the session must go on or end cleanly."""
import threading
import time

import pytest

from harness.imap import Line

pytestmark = pytest.mark.sanitized


@pytest.fixture
def box(shared_demo):
    with Line(shared_demo, "alice") as line:
        yield line


def verdict(box, command):
    return box.ask(command)[-1].split()[1]


@pytest.fixture(scope="module")
def crowd(shared_demo):
    """A mailbox of 2,560 messages with long lists of references."""
    with Line(shared_demo, "alice") as line:
        line.ok("CREATE crowd")
        refs = " ".join(f"<r{i}@x>" for i in range(150))
        for i in range(10):
            line.append("crowd", f"From: a@x\nSubject: s{i}\nMessage-ID: <r{i * 7}@x>\nReferences: {refs}\nDate: Mon, 1 Jan 2024 00:00:0{i} +0000\n\ntext {i}\n")
        line.ok("SELECT crowd")
        for _ in range(8):
            line.ok("COPY 1:* crowd")
    return "crowd"


class Meanwhile:
    """Another session that asks for little all the time; how long it waited at most."""

    def __init__(self, house):
        self.line = Line(house, "alice")
        self.line.ok("SELECT INBOX")
        self.worst, self.ending = 0.0, False
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.ending:
            start = time.monotonic()
            self.line.ok("NOOP")
            self.worst = max(self.worst, time.monotonic() - start)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ending = True
        self.thread.join()
        self.line.close()


def test_programs_of_ten_thousand_terms(box, shared_demo, crowd):
    box.ok(f"SELECT {crowd}")
    assert verdict(box, "SEARCH " + " ".join(["SEEN"] * 10000)) == "BAD"
    with Meanwhile(shared_demo) as other:
        for program in (" ".join(["UNSEEN"] * 1900), "OR " * 900 + "SEEN SEEN", "NOT " * 9001 + "SEEN",
                        " ".join(f"NOT KEYWORD k{i}" for i in range(1500)), " ".join(f'NOT SUBJECT "a{i}"' for i in range(900)),
                        " ".join(f'NOT HEADER x{i} y' for i in range(900)), ",".join(str(i * 2 + 1) for i in range(9000))):
            assert verdict(box, "SEARCH " + program) in ("OK", "BAD", "NO"), program[:40]
            assert verdict(box, "NOOP") == "OK"
    assert other.worst < 5


def test_nesting_and_lines(box, crowd):
    box.ok(f"SELECT {crowd}")
    for command in ("SEARCH " + "(" * 60000, "SEARCH " + "(" * 30000 + "ALL" + ")" * 30000, "SORT " + "(" * 60000, "THREAD REFERENCES UTF-8 " + "(" * 60000,
                    "SEARCH RETURN (" + "MUM " * 15000 + ") ALL", "ESEARCH IN (" + "mailboxes " * 6000 + ") ALL",
                    "SELECT crowd (QRESYNC (1 1 1 (" + "1," * 30000 + "1 1)))"):
        assert verdict(box, command) == "BAD", command[:40]
        assert verdict(box, "NOOP") == "OK"
    assert verdict(box, "FETCH 1 BODY[1" + ".1" * 20000 + "]") == "OK"
    with pytest.raises(AssertionError, match="the connection ended|BAD"):
        box.send("big SEARCH " + "A" * (1 << 20) + "\r\n")
        assert box.until("big")[-1].split()[1] == "OK"


def test_a_hundred_thousand_parentheses(shared_demo):
    """Before and after sign-in: the session is told, or ended, and others go on."""
    for user, commands in ((None, ("ID ", "LOGIN ", "AUTHENTICATE PLAIN ")),
                           ("alice", ("ID ", "LIST ", "NOTIFY SET ", "SETMETADATA INBOX ", "APPEND INBOX ", "STATUS INBOX ", "SELECT INBOX (QRESYNC "))):
        for command in commands:
            with Line(shared_demo, user) as line:
                line.send(f"a {command}{'(' * 100000}\r\n")
                assert line.line().split()[1] in ("BAD", "BYE"), command
    with Line(shared_demo, "alice") as line:
        line.ok("NOOP")


def test_literals_of_four_gigabytes(shared_demo):
    for announce in ("{4294967296}", "{4294967296+}", "{99999999999999999999}", "{2000000+}"):
        with Line(shared_demo, "alice") as line:
            line.send(f"a SEARCH SUBJECT {announce}\r\n")
            assert line.line().split()[1] in ("BAD", "BYE")


def test_sections_by_the_thousand(box, shared_demo, crowd):
    box.ok(f"SELECT {crowd}")
    assert verdict(box, "FETCH 1 (" + " ".join(f"BODY.PEEK[{i}]" for i in range(1, 2000)) + ")") == "BAD"
    with Meanwhile(shared_demo) as other:
        lines = box.ask("FETCH 1:200 (" + " ".join(f"BODY.PEEK[HEADER.FIELDS (X{i})]" for i in range(300)) + ")")
        assert lines[-1].split()[1] == "OK"
    assert other.worst < 5


def test_threads_and_orders_of_a_crowd(box, shared_demo, crowd):
    box.ok(f"SELECT {crowd}")
    with Meanwhile(shared_demo) as other:
        for command in ("THREAD REFERENCES UTF-8 ALL", "THREAD ORDEREDSUBJECT UTF-8 ALL", "SORT (SUBJECT REVERSE DATE FROM TO CC) UTF-8 ALL",
                        "SORT RETURN (UPDATE COUNT) (SUBJECT) UTF-8 ALL", "UID FETCH 1:* (UID) (CHANGEDSINCE 1 PARTIAL -1:-4294967295)"):
            assert verdict(box, command) in ("OK", "NO")
    assert other.worst < 5


def test_clients_that_never_read(shared_demo, crowd):
    """They hold up nobody, and go when they are told."""
    silent = [Line(shared_demo, "alice") for _ in range(3)]
    for line in silent:
        line.send(f"a SELECT {crowd}\r\n" + "b FETCH 1:* (FLAGS ENVELOPE BODY.PEEK[])\r\n" * 3)
    with Meanwhile(shared_demo) as other:
        time.sleep(1)
    assert other.worst < 5
    for line in silent:
        line.close()


def test_a_mailbox_goes_during_a_search(shared_demo):
    with Line(shared_demo, "alice") as line, Line(shared_demo, "alice") as other:
        line.fresh("going", [f"Subject: s{i}\n\n{'text ' * 2000}\n" for i in range(30)])
        line.send("".join(f'a{i} SEARCH RETURN (UPDATE) NOT SENTON {i + 1}-Jan-2024 NOT TEXT "zz{i}"\r\n' for i in range(25)))
        other.ok("DELETE going")
        with pytest.raises(AssertionError, match="the connection ended"):
            for _ in range(200):
                line.line()
