"""IMAP4rev2 (RFC 9051) beside IMAP4rev1, and ENABLE (RFC 5161)."""
import pytest

from harness.imap import Line


@pytest.fixture
def box(shared_demo):
    with Line(shared_demo, "alice") as line:
        yield line


def test_both_revisions_are_offered(box):
    assert "IMAP4rev1" in box.greeting and "IMAP4rev2" in box.greeting
    (names,) = box.ok("CAPABILITY")
    for name in ("IMAP4rev1", "IMAP4rev2", "CONDSTORE", "QRESYNC", "ESEARCH", "SEARCHRES"):
        assert name in names.split(), name


def test_enabling_changes_answers(box, shared_demo):
    box.fresh("rev2", ["Subject: one\n\nx\n", ("Subject: two\n\nx\n", "\\Seen")])
    box.script("""
        C: a1 SEARCH SEEN
        S: * SEARCH 2
        S: a1 OK done
        C: a2 ENABLE IMAP4rev2 X-GOOD-IDEA
        S: * ENABLED IMAP4rev2
        S: a2 OK done
        C: a3 ENABLE IMAP4rev2
        S: * ENABLED
        S: a3 OK done
        C: a4 SEARCH SEEN
        S: * ESEARCH (TAG "a4") ALL 2
        S: a4 OK done
        C: a5 UID SEARCH DRAFT
        S: * ESEARCH (TAG "a5") UID
        S: a5 OK done
        C: a6 FETCH 1 FLAGS
        S: * 1 FETCH (FLAGS ())
        S: a6 OK done
        C: a7 SELECT rev2
        S: * OK [CLOSED] ...
        S: * FLAGS ...
        S: * OK [PERMANENTFLAGS ...
        S: * 2 EXISTS
        S: * OK [UIDVALIDITY ...
        S: * OK [UIDNEXT 3] ...
        S: * OK [HIGHESTMODSEQ ...
        S: * OK [MAILBOXID ...
        S: * LIST () "/" rev2
        S: a7 OK [READ-WRITE] selected
        C: a8 STATUS rev2 (MESSAGES DELETED SIZE UNSEEN)
        S: * STATUS rev2 (MESSAGES 2 UNSEEN 1 DELETED 0 SIZE ...)
        S: a8 OK done
        """)
    with Line(shared_demo, "alice") as other:
        other.append("rev2", "Subject: three\n\nx\n")
    assert box.ok("NOOP") == ["* 3 EXISTS"]


def test_names_are_utf8_once_enabled(box, shared_demo):
    box.ok("ENABLE IMAP4rev2")
    name = "Entwürfe 台北".encode().decode("latin-1")
    box.ok(f'CREATE "{name}"')
    assert box.ok(f'LIST "" "Entw{name[4:6]}*"') == [f'* LIST (\\HasNoChildren) "/" "{name}"']
    lines = box.ok(f'SELECT "{name}"')
    assert f'* LIST () "/" "{name}"' in lines
    with Line(shared_demo, "alice") as old:
        assert old.ok('LIST "" "Entw*"') == ['* LIST (\\HasNoChildren) "/" "Entw&APw-rfe &U,BTFw-"']
        old.ok('SELECT "Entw&APw-rfe &U,BTFw-"')
    box.ok("UNSELECT")
    box.ok(f'DELETE "{name}"')
