"""FETCH beyond RFC 3501: BINARY (3516), PREVIEW (8970); STORE, COPY and MOVE by UID with what they answer."""
import base64

import pytest

from harness.imap import Line


@pytest.fixture
def box(shared_demo):
    with Line(shared_demo, "bob") as line:
        yield line


ZEROS = base64.b64encode(b"a\0b\r\nc").decode()
TREE = f"""Subject: tree
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=o

--o
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: quoted-printable

caf=C3=A9 =
au lait
--o
Content-Type: application/octet-stream
Content-Transfer-Encoding: base64

{ZEROS}
--o
Content-Type: application/x-odd
Content-Transfer-Encoding: x-odd

what
--o
Content-Type: message/rfc822

Subject: inner
Content-Transfer-Encoding: base64

aGVsbG8=
--o--
"""


def test_binary(box):
    """RFC 3516 §4.2 and §4.3."""
    box.fresh("bi1", [TREE])
    latin = "caf\u00e9 au lait".encode().decode("latin-1")
    box.known["text"] = latin
    box.script("""
        C: b001 FETCH 1 BINARY.PEEK[1]
        S: * 1 FETCH (BINARY[1] {13}\\r\\n<text>)
        S: b001 OK done
        C: b002 FETCH 1 (BINARY.SIZE[1] BINARY.SIZE[2])
        S: * 1 FETCH (BINARY.SIZE[1] 13 BINARY.SIZE[2] 6)
        S: b002 OK done
        C: b003 FETCH 1 BINARY.PEEK[2]
        S: * 1 FETCH (BINARY[2] ~{6}\\r\\na\0b\\r\\nc)
        S: b003 OK done
        C: b004 FETCH 1 BINARY.PEEK[2]<3.2>
        S: * 1 FETCH (BINARY[2]<3> {2}\\r\\n\\r\\n)
        S: b004 OK done
        C: b005 FETCH 1 BINARY.PEEK[3]
        S: * 1 FETCH (BINARY[3] NIL)
        S: b005 NO [UNKNOWN-CTE] ...
        C: b006 FETCH 1 BINARY.PEEK[4.1]
        S: * 1 FETCH (BINARY[4.1] {5}\\r\\nhello)
        S: b006 OK done
        C: b007 FETCH 1 BINARY.PEEK[9]
        S: * 1 FETCH (BINARY[9] NIL)
        S: b007 OK done
        C: b008 FETCH 1 (FLAGS BINARY[4.1])
        S: * 1 FETCH (FLAGS (\\Seen \\Recent) BINARY[4.1] {5}\\r\\nhello)
        S: b008 OK done
        C: b009 FETCH 1 BINARY[1.HEADER]
        S: b009 BAD ...
        C: b010 FETCH 1 BINARY.SIZE[1]<0.5>
        S: b010 BAD ...
        """)


def test_preview(box):
    """RFC 8970 §3 and §4."""
    long = "word " * 100
    box.fresh("pv1", ["Subject: a\n\nHello   there,\n\n> quoted\nGeneral.\n-- \nsignature\n", f"Subject: b\n\n{long}\n", "Subject: c\n\n\n",
                      "Subject: d\nContent-Type: image/png\nContent-Transfer-Encoding: base64\n\nAAAA\n",
                      "Subject: e\nContent-Type: text/html; charset=iso-8859-1\n\n<style>p {}</style><p>Gr&uuml;n &amp; <b>blau</b>\n",
                      "Subject: f\nContent-Type: multipart/alternative; boundary=x\n\n--x\nContent-Type: text/html\n\n<p>other</p>\n"
                      "--x\nContent-Type: text/plain\n\nplain\n--x--\n"])
    box.script("""
        C: A1 FETCH 1 (PREVIEW)
        S: * 1 FETCH (PREVIEW "Hello there, General.")
        S: A1 OK done
        C: A2 FETCH 1:2 PREVIEW (LAZY)
        S: * 1 FETCH (PREVIEW "Hello there, General.")
        S: * 2 FETCH (PREVIEW "word ...")
        S: A2 OK done
        C: A3 FETCH 3:4 (RFC822.SIZE PREVIEW)
        S: * 3 FETCH (RFC822.SIZE 16 PREVIEW "")
        S: * 4 FETCH (RFC822.SIZE ... PREVIEW ...)
        S: A3 OK done
        C: A4 FETCH 5 PREVIEW (LAZY)
        S: * 5 FETCH (PREVIEW NIL)
        S: A4 OK done
        C: A5 FETCH 5:6 PREVIEW
        S: * 5 FETCH (PREVIEW {12}\\r\\nGr\xc3\xbcn & blau)
        S: * 6 FETCH (PREVIEW "plain")
        S: A5 OK done
        """)
    (line,) = box.ok("FETCH 2 PREVIEW")
    assert len(line.split('"')[1]) <= 200


def test_answers_by_uid(box):
    """UID STORE, UID COPY and UID MOVE of some that are not there (RFC 9051 §6.4.9)."""
    box.fresh("ui1", ["Subject: a\n\nx\n"] * 3)
    box.script("""
        C: u1 UID STORE 2:99 +FLAGS (\\Flagged)
        S: * 2 FETCH (UID 2 FLAGS (\\Flagged \\Recent))
        S: * 3 FETCH (UID 3 FLAGS (\\Flagged \\Recent))
        S: u1 OK done
        C: u2 UID STORE 77 +FLAGS (\\Flagged)
        S: u2 OK done
        C: u3 UID COPY 77 Archive
        S: u3 OK done
        C: u4 COPY 7 Archive
        S: u4 BAD ...
        C: u5 UID MOVE 1,3 Archive
        S: * OK [COPYUID <v> 1,3 <to>] ...
        S: * 1 EXPUNGE
        S: * 2 EXPUNGE
        S: u5 OK done
        C: u6 UID FETCH 1:* FLAGS
        S: * 1 FETCH (UID 2 FLAGS (\\Flagged \\Recent))
        S: u6 OK done
        C: u7 UID COPY 2 nowhere
        S: u7 NO [TRYCREATE] ...
        """)
