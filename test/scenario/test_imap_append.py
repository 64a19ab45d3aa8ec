"""APPEND of several messages (RFC 3502), from parts (RFC 4469), as binary and UTF-8 (RFC 3516, 9755), REPLACE (RFC 8508)."""
import re

import pytest

from harness.imap import Line

pytestmark = pytest.mark.sanitized
MAIL = b"From: a@example.test\r\nSubject: hello\r\n\r\nbody %d\r\n"


@pytest.fixture(scope="module")
def box(shared_demo):
    with Line(shared_demo, "alice") as line:
        yield line


def literal(data, sync=False):
    return b"{%d%s}\r\n" % (len(data), b"" if sync else b"+") + data


def fetched(box, uid):
    (line,) = box.ok(f"UID FETCH {uid} (BODY.PEEK[])")
    return line.partition("\r\n")[2][:-1].encode("latin-1")


def test_several(box):
    box.fresh("several")
    box.send(b'a APPEND several (\\Seen) "01-Jan-2020 10:00:00 +0000" ' + literal(MAIL % 1) + b" (\\Flagged) " + literal(MAIL % 2) + b" " + literal(MAIL % 3) + b"\r\n")
    lines = box.until("a")
    assert re.search(r"a OK \[APPENDUID \d+ 1:3\]", lines[-1]), lines
    flags = box.ok("FETCH 1:* (FLAGS INTERNALDATE)")
    assert "\\Seen" in flags[0] and "1-Jan-2020" in flags[0] and "\\Flagged" in flags[1] and "\\Seen" not in flags[2]
    assert fetched(box, 2) == MAIL % 2


def test_several_one_wrong(box):
    """All or nothing, and the session knows where the next command begins."""
    box.fresh("nothing")
    box.send(b"a APPEND nothing " + literal(MAIL % 1) + b" (\\Nonsense) " + literal(MAIL % 2) + b" " + literal(MAIL % 3) + b"\r\n")
    assert box.until("a")[-1].split()[1] == "BAD"
    assert "* STATUS nothing (MESSAGES 0)" in box.ok("STATUS nothing (MESSAGES)")
    box.send(b"a APPEND missing " + literal(MAIL % 1) + b" " + literal(MAIL % 2) + b"\r\n")
    assert "[TRYCREATE]" in box.until("a")[-1]
    box.send(b"a APPEND nothing {200000000}\r\n")
    assert "[TOOBIG]" in box.until("a")[-1]
    box.send(b"a APPEND nothing" + b"".join(b" " + literal(b"Subject: x\r\n\r\n") for _ in range(300)) + b"\r\n")
    assert "[TOOBIG]" in box.until("a")[-1]
    assert "* STATUS nothing (MESSAGES 0)" in box.ok("STATUS nothing (MESSAGES)")
    assert box.ok("NOOP") == []


def test_waiting_for_our_word(box):
    box.fresh("sync")
    box.send(b"a APPEND sync {%d}\r\n" % len(MAIL % 1))
    assert box.line().startswith("+")
    box.send(MAIL % 1 + b" {%d}\r\n" % len(MAIL % 2))
    assert box.line().startswith("+")
    box.send(MAIL % 2 + b"\r\n")
    assert "[APPENDUID" in box.until("a")[-1]


def test_binary_and_utf8(shared_demo, box):
    box.fresh("binary")
    data = b"Subject: nul\r\nContent-Transfer-Encoding: binary\r\n\r\n\0\1\2\r\n"
    box.send(b"a APPEND binary ~" + literal(data) + b"\r\n")
    assert "[APPENDUID" in box.until("a")[-1]
    assert "RFC822.SIZE %d" % len(data) in box.ok("FETCH 1 RFC822.SIZE")[0]
    data = "From: Jösé <jösé@example.test>\r\n\r\nx\r\n".encode()
    box.send(b"a APPEND binary UTF8 (~" + literal(data) + b")\r\n")
    assert "[APPENDUID" in box.until("a")[-1]
    assert fetched(box, 2) == data
    with Line(shared_demo, "alice") as other:
        other.send(b"a APPEND binary UTF8 (~" + literal(data) + b"\r\n")
        assert other.until("a")[-1].split()[1] == "BAD"


PARTS = (b"From: a@example.test\r\nSubject: parts\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
         b"--b\r\nContent-Type: text/plain\r\n\r\nfirst part\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>second</p>\r\n--b--\r\n")


def test_catenate(shared_demo, box):
    lines = box.fresh("cat-pieces")
    validity = re.search(r"UIDVALIDITY (\d+)", " ".join(lines)).group(1)
    box.append("cat-pieces", PARTS.decode().replace("\r\n", "\n"))
    head, tail = b"Subject: new\r\n\r\n[", b"]\r\n"
    box.send(b"a APPEND cat-pieces (\\Draft) CATENATE (TEXT " + literal(head) + b' URL "/cat-pieces;UIDVALIDITY=' + validity.encode() +
             b'/;UID=1/;SECTION=1" URL /cat-pieces/;UID=1/;section=2.MIME URL ";UID=1/;SECTION=1/;PARTIAL=0.5" TEXT ' + literal(tail) + b")\r\n")
    assert "[APPENDUID" in box.until("a")[-1]
    assert fetched(box, 2) == head + b"first part" + b"Content-Type: text/html\r\n\r\n" + b"first" + tail
    # A URL as a literal that waits for our word, and the whole message.
    box.send(b"a APPEND cat-pieces CATENATE (URL {18}\r\n")
    assert box.line().startswith("+")
    box.send(b"/cat-pieces/;UID=1)\r\n")
    assert "[APPENDUID" in box.until("a")[-1]
    assert fetched(box, 3) == PARTS
    box.send(b"a APPEND cat-pieces CATENATE (URL {18+}\r\n/cat-pieces/;UID=1 TEXT " + literal(b"tail") + b")\r\n")
    assert "[APPENDUID" in box.until("a")[-1]
    assert fetched(box, 4) == PARTS + b"tail"
    for bad in (b"CATENATE ()", b"CATENATE (TEXT x)", b"CATENATE (FILE x)", b"CATENATE (TEXT " + literal(b"x"), b"CATENATE (TEXT " + literal(b"x") + b") "):
        with Line(shared_demo, "alice") as other:
            other.send(b"a APPEND cat-pieces " + bad + b"\r\n")
            assert other.line().split()[1] == "BAD", bad
    box.send(b"a APPEND cat-pieces CATENATE (TEXT " + literal(b"") + b")\r\n")
    assert "[CANNOT]" in box.until("a")[-1]


@pytest.mark.parametrize("url", ["/cat-pieces/;UID=77", "/cat-pieces;UIDVALIDITY=1/;UID=1", "/none/;UID=1", "/cat-pieces/;UID=1/;SECTION=9",
                                 "/cat-pieces/;UID=1/;SECTION=HEADER.FIELDS%20(To)", "http://x/", "/cat-pieces/;UID=1/;PARTIAL=99999"])
def test_catenate_bad_url(box, url):
    box.send(f'a APPEND cat-pieces CATENATE (TEXT {{3+}}\r\nabc URL "{url}" TEXT {{3+}}\r\ndef)\r\n')
    last = box.until("a")[-1]
    assert f'NO [BADURL "{url}"]' in last, last
    assert box.ok("NOOP") == []


def test_replace(box):
    box.fresh("drafts2", ["Subject: one\n\n1\n", "Subject: two\n\n2\n", "Subject: three\n\n3\n"])
    box.send(b"a REPLACE 2 drafts2 (\\Draft) " + literal(b"Subject: two b\r\n\r\n2b\r\n") + b"\r\n")
    lines = box.until("a")
    assert re.match(r"\* OK \[APPENDUID \d+ 4\]", lines[0]), lines
    assert "* 4 EXISTS" in lines or "* 3 EXISTS" in lines
    assert "* 2 EXPUNGE" in lines and lines[-1].startswith("a OK")
    assert [line.split()[-1].rstrip(")") for line in box.ok("FETCH 1:* (UID)")] == ["1", "3", "4"]
    # To another mailbox, by UID.
    box.ok("CREATE sent2")
    box.send(b"a UID REPLACE 4 sent2 " + literal(b"Subject: away\r\n\r\nx\r\n") + b"\r\n")
    lines = box.until("a")
    assert lines[-1].startswith("a OK") and "* 3 EXPUNGE" in lines
    assert "* STATUS sent2 (MESSAGES 1)" in box.ok("STATUS sent2 (MESSAGES)")
    # What fails leaves the old one.
    for bad in (b"REPLACE 9 drafts2 ", b"REPLACE 1 nowhere ", b"UID REPLACE 77 drafts2 "):
        box.send(b"a " + bad + literal(b"Subject: no\r\n\r\nx\r\n") + b"\r\n")
        assert box.until("a")[-1].split()[1] == "NO"
    assert len(box.ok("FETCH 1:* (UID)")) == 2
    box.ok("EXAMINE drafts2")
    box.send(b"a REPLACE 1 drafts2 " + literal(b"Subject: no\r\n\r\nx\r\n") + b"\r\n")
    assert "[READ-ONLY]" in box.until("a")[-1]


def test_text_behind_the_message(shared_demo):
    """Where the next command begins is not known: the session ends."""
    with Line(shared_demo, "alice") as box:
        box.send(b"a APPEND INBOX " + literal(MAIL % 1) + b"x\r\nb NOOP\r\n")
        assert box.line().split()[1] == "BAD"
        assert box.line().startswith("* BYE")
