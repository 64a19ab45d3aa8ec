"""METADATA (RFC 5464), with LIST (RFC 9590); QUOTA (RFC 9208); UTF8=ACCEPT (RFC 9755)."""
import re

import pytest

from harness.imap import Line

pytestmark = pytest.mark.sanitized


@pytest.fixture(scope="module")
def box(shared_demo):
    with Line(shared_demo, "alice") as line:
        yield line


def test_annotations(box):
    box.script("""
        C: a SETMETADATA INBOX (/private/comment "My own comment" /SHARED/Comment "Shared \\"comment\\"")
        S: a OK done
        C: a GETMETADATA "INBOX" /private/comment
        S: * METADATA INBOX ("/private/comment" "My own comment")
        S: a OK done
        C: a GETMETADATA INBOX (/shared/comment /private/comment /private/none)
        S: * METADATA INBOX ("/private/comment" "My own comment" "/shared/comment" "Shared \\"comment\\"")
        S: a OK done
        C: a GETMETADATA INBOX /private/none
        S: a OK done
        C: a GETMETADATA (MAXSIZE 14) INBOX (/shared/comment /private/comment)
        S: * METADATA INBOX ("/private/comment" "My own comment")
        S: a OK [METADATA LONGENTRIES 16] done
        C: a SETMETADATA "" (/shared/comment "the account")
        S: a OK done
        C: a GETMETADATA "" /shared/comment
        S: * METADATA "" ("/shared/comment" "the account")
        S: a OK done
        C: a SETMETADATA INBOX (/private/comment NIL)
        S: a OK done
        C: a GETMETADATA INBOX (/private/comment)
        S: a OK done
        C: a GETMETADATA nowhere /private/comment
        S: a NO [NONEXISTENT] ...
        C: a SETMETADATA nowhere (/private/comment "x")
        S: a NO [NONEXISTENT] ...
    """)


def test_depth(box):
    box.script("""
        C: a SETMETADATA INBOX (/private/f "0" /private/f/a "1" /private/f/b/c "2" /private/fx "3")
        S: a OK done
        C: a GETMETADATA INBOX (DEPTH 1) (/private/f)
        S: * METADATA INBOX ("/private/f" "0" "/private/f/a" "1")
        S: a OK done
        C: a GETMETADATA (DEPTH infinity) INBOX /private/f
        S: * METADATA INBOX ("/private/f" "0" "/private/f/a" "1" "/private/f/b/c" "2")
        S: a OK done
    """)


@pytest.mark.parametrize("bad", ["comment", "/other/x", "/private/", "/private/a//b", "/private/a*", "/private/%", "/private/a/"])
def test_bad_entries(shared_demo, bad):
    with Line(shared_demo, "bob") as box:
        assert box.ask(f'GETMETADATA INBOX "{bad}"')[-1].split()[1] == "BAD"
        assert box.ask(f'SETMETADATA INBOX ("{bad}" "x")')[-1].split()[1] == "BAD"


def test_values(shared_demo, box):
    value = bytes(range(1, 256)) * 4
    box.send(b"a SETMETADATA INBOX (/private/bytes {%d+}\r\n" % len(value) + value + b")\r\n")
    assert box.until("a")[-1].startswith("a OK")
    (line,) = box.ok("GETMETADATA INBOX /private/bytes")
    assert line.encode("latin-1").endswith(value + b")")
    assert "[METADATA MAXSIZE 65536]" in ask_value(box, b"x" * 65537)
    with Line(shared_demo, "bob") as other:
        for i in range(15):
            assert ask_value(other, b"x" * 65536, b"/private/many%d" % i).startswith("a OK")
        assert "[METADATA TOOMANY]" in ask_value(other, b"x" * 65536, b"/private/one/more")
        # What removes passes all the same, and nothing of the refused change is there.
        assert other.ok("GETMETADATA INBOX /private/one/more") == []
        other.ok("SETMETADATA INBOX (/private/many1 NIL)")


def ask_value(box, value, entry=b"/private/large"):
    box.send(b"a SETMETADATA INBOX (" + entry + b" {%d+}\r\n" % len(value) + value + b")\r\n")
    return box.until("a")[-1]


def test_they_go_with_the_mailbox(box):
    box.ok("CREATE annotated")
    box.ok('SETMETADATA annotated (/private/color "#b71c1c")')
    box.ok("RENAME annotated repainted")
    assert box.ok("GETMETADATA repainted /private/color") == ['* METADATA repainted ("/private/color" "#b71c1c")']
    lines = box.ok('LIST "" (repainted INBOX) RETURN (METADATA ("/private/color"))')
    assert lines[1] == '* METADATA INBOX ("/private/color" NIL)'
    assert lines[3] == '* METADATA repainted ("/private/color" "#b71c1c")'
    box.ok("DELETE repainted")
    box.ok("CREATE repainted")
    assert box.ok("GETMETADATA repainted /private/color") == []


def test_quota(shared_demo, box):
    assert re.fullmatch(r'\* QUOTA "" \(MAILBOX \d+ 10000 ANNOTATION-STORAGE \d+ 1024\)', box.ok('GETQUOTA ""')[0])
    shared_demo.run("account", "quota", "alice@example.test", "10485760")
    with Line(shared_demo, "alice") as fresh:
        fresh.append("INBOX", "Subject: x\n\n" + "y" * 5000 + "\n", "\\Deleted")
        lines = fresh.ok("GETQUOTAROOT INBOX")
        assert lines[0] == '* QUOTAROOT INBOX ""'
        used = re.match(r'\* QUOTA "" \(STORAGE (\d+) 10240 MAILBOX', lines[1])
        assert used and int(used.group(1)) >= 5, lines
        assert "* STATUS INBOX (DELETED 1 DELETED-STORAGE 5016)" in fresh.ok("STATUS INBOX (DELETED DELETED-STORAGE)")
        assert "[NOPERM]" in fresh.ask('SETQUOTA "" (STORAGE 99999)')[-1]
        assert "[NONEXISTENT]" in fresh.ask("GETQUOTA other")[-1]
    shared_demo.run("account", "quota", "alice@example.test", "0")


def test_utf8_accept(shared_demo):
    with Line(shared_demo, "alice") as box:
        assert box.ok("ENABLE UTF8=ACCEPT") == ["* ENABLED UTF8=ACCEPT"]
        box.send('a CREATE "Über"\r\n'.encode())
        assert box.until("a")[-1].startswith("a OK")
        (line,) = box.ok('LIST "" %ber')
        assert "Über" in line.encode("latin-1").decode()
        with Line(shared_demo, "alice") as old:
            assert old.ok('LIST "" "&ANw-ber"')
        box.ok("SELECT INBOX")
        assert box.ask("SEARCH CHARSET UTF-8 TEXT x")[-1].split()[1] == "BAD"
        assert box.ask("SEARCH TEXT x")[-1].split()[1] == "OK"
