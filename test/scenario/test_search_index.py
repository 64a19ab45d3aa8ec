"""The search index of a running house: what readers read is found, at once and after the index has it; readers that are killed, an
index that is thrown away, and what a hostile document costs."""
import os
import signal
import time

import pytest

from harness.house import Demo
from harness.net import wait_until

pytestmark = pytest.mark.sanitized


@pytest.fixture
def house(tmp_path):
    x = Demo(tmp_path / "house").start()
    yield x
    assert x.stop() == 0


def append(imap, text, charset="utf-8", kind="html", subject="x"):
    head = f"Subject: {subject}\r\nContent-Type: text/{kind}; charset={charset}\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    assert imap.append("INBOX", None, None, head.encode() + text.encode(charset))[0] == "OK"


def found(imap, *keys):
    status, data = imap.search(None, keys[0], '"' + keys[1] + '"')
    assert status == "OK"
    return [int(n) for n in data[0].split()]


def status(house, role):
    return next(row for row in house.rows("status") if row.get("role") == role)


def test_readers(house):
    imap = house.imap("alice")
    append(imap, "<p>Spring <b>sale</b>s of &lt;tulips&gt;<script>var secret = 1</script><p style='display:none'>hidden words</p>")
    append(imap, "Привет из Москвы", "koi8-r", "plain")
    append(imap, "nothing", "us-ascii", "plain", "=?gb2312?B?xOO6ww==?=")
    imap.select("INBOX")
    for pause in (0, 1):
        assert found(imap, "BODY", "spring sales") == [1]
        assert found(imap, "TEXT", "<tulips>") == [1]
        assert found(imap, "BODY", "secret") == found(imap, "BODY", "hidden") == found(imap, "BODY", "display") == []
        for key, text, hit in (("BODY", "ПРИВЕТ", 2), ("SUBJECT", "你好", 3), ("SUBJECT", "好", 3)):
            imap.literal = text.encode()
            assert imap.search("UTF-8", key)[1][0].split() == [str(hit).encode()]
        if not pause:
            time.sleep(6)  # now the index has been filled behind their backs


def children(pid):
    return [int(p) for p in open(f"/proc/{pid}/task/{pid}/children").read().split()]


def test_reader_dies(house):
    """A reader that stands still costs a while, one that is killed nothing: a fresh one is asked."""
    imap = house.imap("alice")
    reader = next(pid for (role, _), pid in house.pids().items() if role == "reader")
    append(imap, "<p>first")
    imap.select("INBOX")
    assert found(imap, "BODY", "first") == [1]
    for child in children(reader):
        os.kill(child, signal.SIGKILL)
    append(imap, "<p>second")
    imap.noop()
    assert found(imap, "BODY", "second") == [2]
    # The role itself comes back like any other.
    os.kill(reader, signal.SIGKILL)
    append(imap, "<p>third")
    imap.noop()
    assert found(imap, "BODY", "third") == [3]
    wait_until(lambda: next(pid for (role, _), pid in house.pids().items() if role == "reader") != reader)


@pytest.mark.slow
def test_hostile_documents(house):
    """Depth, entities, tables in tables, attributes without end: found by what can be read, and the house goes on."""
    imap = house.imap("alice")
    imap.select("INBOX")
    append(imap, "<div>" * 100000 + "deep", subject="one")
    append(imap, "".join(f"<b a{i}>" for i in range(3000)) + "<p>" * 3000 + "wide", subject="two")
    append(imap, "<p " + "a=b " * 200000 + ">attributes", subject="three")
    append(imap, "&amp" * 200000 + " entities &#x110000; &#0; &bogus; <![CDATA[", subject="four")
    append(imap, "<table>" * 5000 + "tables", subject="five")
    append(imap, "<p>after", subject="six")
    imap.noop()
    assert found(imap, "BODY", "after") == [6]
    assert found(imap, "BODY", "attributes") == [3]
    assert found(imap, "BODY", "entities") == [4]
    for n, word in enumerate(("one", "two", "three", "four", "five", "six"), 1):
        assert found(imap, "SUBJECT", word) == [n]


def test_index_thrown_away(house):
    imap = house.imap("alice")
    for n in range(30):
        append(imap, f"<p>number{n}x", subject=f"s{n}x")
    imap.select("INBOX")
    assert found(imap, "BODY", "number17x") == [18]
    imap.logout()
    assert house.stop() == 0
    indexes = list(house.data.rglob("search.db"))
    assert indexes
    for path in indexes:
        for file in path.parent.glob("search.db*"):
            file.unlink()
    house.start()
    imap = house.imap("alice")
    imap.select("INBOX")
    assert found(imap, "SUBJECT", "s29x") == [30]
    assert found(imap, "BODY", "number17x") == [18]
    assert list(house.data.rglob("search.db"))
