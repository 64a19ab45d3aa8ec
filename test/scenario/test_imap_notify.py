"""News of the whole account at any time, without polling (NOTIFY, RFC 5465)."""
import re
import select
import time

import pytest

from harness.imap import Line


@pytest.fixture
def box(shared_demo):
    with Line(shared_demo, "alice") as line:
        yield line


@pytest.fixture
def other(shared_demo):
    with Line(shared_demo, "alice") as line:
        yield line


def mail(subject):
    return f"From: a@example.test\nSubject: {subject}\n\nbody\n"


def nothing_comes(line, seconds=0.3):
    line.socket.settimeout(seconds)
    try:
        assert not select.select([line.socket], [], [], seconds)[0] or not line.socket.recv(1)
    except TimeoutError:
        pass
    line.socket.settimeout(60)


def test_other_mailboxes(box, other):
    """RFC 5465 §3.1, §5."""
    assert "NOTIFY" in box.ok("CAPABILITY")[0].split()
    for name in ("nfLists", "nfLists/Lemonade", "nfLists/Im2000", "nfMisc"):
        box.ok(f"CREATE {name}")
    box.script("""
        C: b notify set status (selected MessageNew (uid body.peek[header.fields (subject)]) MessageExpunge) (subtree nfLists (MessageNew MessageExpunge))
        S: * STATUS nfLists (MESSAGES 0 UIDNEXT 1 UIDVALIDITY ...)
        S: * STATUS nfLists/Im2000 (MESSAGES 0 UIDNEXT 1 UIDVALIDITY ...)
        S: * STATUS nfLists/Lemonade (MESSAGES 0 UIDNEXT 1 UIDVALIDITY <v>)
        S: b OK done
        """)
    box.ok("SELECT nfMisc")
    began = time.monotonic()
    other.append("nfLists/Lemonade", mail("one"))
    box.script("S: * STATUS nfLists/Lemonade (MESSAGES 1 UIDNEXT 2 UIDVALIDITY <v>)")
    assert time.monotonic() - began < 10
    other.append("nfMisc", mail("good morning"))
    box.script("""
        S: * 1 EXISTS
        S: * 1 RECENT
        S: * 1 FETCH (UID 1 BODY[HEADER.FIELDS (subject)] {25}\\r\\nSubject: good morning\\r\\n\\r\\n)
        """)
    # Not what was not asked for, and not what this session does itself.
    other.append("INBOX", mail("elsewhere"))
    box.append("nfLists", mail("own"))
    other.ok("SELECT nfLists")
    other.ok("STORE 1 +FLAGS (\\Seen)")
    nothing_comes(box)
    other.ok("STORE 1 +FLAGS (\\Deleted)")
    other.ok("EXPUNGE")
    box.script("S: * STATUS nfLists (MESSAGES 0 UIDNEXT 2 UIDVALIDITY ...)")
    other.ok("SELECT nfMisc")
    other.ok("STORE 1 +FLAGS (\\Deleted)")
    other.ok("EXPUNGE")
    box.script("S: * 1 EXPUNGE")
    assert box.ok("NOTIFY NONE") == []
    other.append("nfLists/Lemonade", mail("two"))
    other.append("nfMisc", mail("three"))
    nothing_comes(box)
    assert box.ok("NOOP") == []


def test_flags_and_condstore(box, other):
    """RFC 5465 §5.1."""
    for name in ("nf2", "nf3"):
        other.fresh(name, [mail("a")])
    box.ok("SELECT nf2")
    box.script("""
        C: a notify set (selected (MessageNew (uid flags) MessageExpunge FlagChange)) (mailboxes (nf3 nowhere) (MessageNew FlagChange MessageExpunge))
        S: a OK done
        """)
    other.ok("STORE 1 +FLAGS (\\Seen)")
    box.script("S: * STATUS nf3 (UIDVALIDITY ... UNSEEN 0)")
    other.ok("SELECT nf2")
    other.ok("STORE 1 +FLAGS (\\Answered)")
    box.script("S: * 1 FETCH (UID 1 FLAGS (\\Answered...))")
    box.ok("ENABLE CONDSTORE")
    other.ok("SELECT nf3")
    other.ok("STORE 1 -FLAGS (\\Seen)")
    box.script("S: * STATUS nf3 (UIDVALIDITY ... UNSEEN 1 HIGHESTMODSEQ ...)")
    # In IDLE the same, and nothing else (RFC 5465 §4).
    box.script("""
        C: i IDLE
        S: + idling
        """)
    other.append("nf3", mail("b"), "\\Seen")
    other.append("INBOX", mail("b"))
    other.append("nf2", mail("b"), "\\Flagged")
    box.script("""
        S: * STATUS nf3 (MESSAGES 2 UIDNEXT 3 UIDVALIDITY ... UNSEEN 1 HIGHESTMODSEQ ...)
        S: * 2 EXISTS
        S: * ... RECENT
        S: * 2 FETCH (UID 2 FLAGS (\\Flagged...))
        C: DONE
        S: i OK done
        C: j NOTIFY SET (personal (MessageNew MessageExpunge))
        S: j OK done
        C: k IDLE
        S: + idling
        """)
    other.append("nf2", mail("c"))
    nothing_comes(box)
    box.script("""
        C: DONE
        S: k OK done
        """)


def test_delayed_expunges(box, other):
    """RFC 5465 §6.1.2."""
    other.fresh("nf4", [mail(f"m{i}") for i in range(3)])
    box.ok("SELECT nf4")
    box.ok("NOTIFY SET (selected-delayed (MessageNew MessageExpunge FlagChange))")
    other.ok("STORE 1 +FLAGS (\\Deleted)")
    other.ok("EXPUNGE")
    other.append("nf4", mail("new"))
    box.script("""
        S: * 1 FETCH (UID 1 FLAGS (\\Deleted...))
        S: * 4 EXISTS
        S: * ... RECENT
        """)
    nothing_comes(box)
    assert "* 2 FETCH (UID 2)" in box.ok("FETCH 2 (UID)")
    assert box.ok("NOOP") == ["* 1 EXPUNGE"]
    # A session without events of the selected mailbox still hears what it expunges itself.
    box.ok("NOTIFY NONE")
    box.ok("STORE 1 +FLAGS.SILENT (\\Deleted)")
    assert box.ok("EXPUNGE") == ["* 1 EXPUNGE"]


def test_updates_with_items(box, other):
    """RFC 5465 §7."""
    box.fresh("nf11", [mail("old"), mail("old too")])
    box.script("""
        C: a00 UID SEARCH RETURN (COUNT UPDATE (UID BODY.PEEK[HEADER.FIELDS (SUBJECT)])) FLAGGED
        S: * ESEARCH (TAG "a00") UID COUNT 0
        S: a00 OK done
        C: a01 UID SEARCH RETURN (UPDATE (BODY[)) FLAGGED
        S: a01 BAD ...
        C: a02 NOTIFY SET (selected (MessageNew MessageExpunge FlagChange))
        S: a02 OK done
        """)
    other.append("nf11", mail("boss"), "\\Flagged")
    other.append("nf11", mail("no boss"))
    other.ok("SELECT nf11")
    other.ok("STORE 2 +FLAGS (\\Flagged)")
    lines = [box.line() for _ in range(8)]
    assert [line.replace(" \\Recent", "") for line in lines if "EXISTS" not in line and "RECENT" not in line] == [
        "* 3 FETCH (UID 3 BODY[HEADER.FIELDS (SUBJECT)] {17}\r\nSubject: boss\r\n\r\n)",
        '* ESEARCH (TAG "a00") UID ADDTO (0 3)',
        "* 2 FETCH (UID 2 FLAGS (\\Flagged))",
        '* ESEARCH (TAG "a00") UID ADDTO (0 2)']


def test_names_and_metadata(box, other):
    """RFC 5465 §5.4 to §5.7."""
    box.ok("NOTIFY SET (personal (MailboxName SubscriptionChange MailboxMetadataChange ServerMetadataChange))")
    other.ok("CREATE nf5/below")
    box.script("""
        S: * LIST (\\HasChildren) "/" nf5
        S: * LIST (\\HasNoChildren) "/" nf5/below
        S: * LIST (\\HasChildren) "/" nf5
        """)
    other.ok("RENAME nf5/below nf6")
    box.script("""S: * LIST (\\HasNoChildren) "/" nf6 ("OLDNAME" (nf5/below))""")
    other.ok("SUBSCRIBE nf6")
    box.script("""S: * LIST (\\HasNoChildren \\Subscribed) "/" nf6""")
    other.ok("UNSUBSCRIBE nf6")
    box.script("""S: * LIST (\\HasNoChildren) "/" nf6""")
    other.ok('SETMETADATA nf6 (/shared/comment "x")')
    box.script('S: * METADATA nf6 "/shared/comment"')
    other.ok('SETMETADATA "" (/shared/comment "x")')
    box.script('S: * METADATA "" "/shared/comment"')
    other.ok("DELETE nf6")
    box.script("""S: * LIST (\\NonExistent) "/" nf6""")
    box.ok("CREATE nf7")
    box.ok("SUBSCRIBE nf7")
    box.ok("NOTIFY SET (subscribed (MailboxName SubscriptionChange)) (mailboxes INBOX (MailboxMetadataChange))")
    other.ok("CREATE nf8")
    other.ok('SETMETADATA nf7 (/shared/comment "x")')
    other.ok("UNSUBSCRIBE nf7")
    box.script("""S: * LIST (\\HasNoChildren) "/" nf7""")


@pytest.mark.parametrize("arguments, answer", [
    ("SET (personal (MessageNew MessageExpunge AnnotationChange))", r"NO \[BADEVENT \(MessageNew MessageExpunge .*\)\]"),
    ("SET (personal (Unheard))", r"NO \[BADEVENT "),
    ("SET (personal (MessageNew))", "BAD"),
    ("SET (personal (FlagChange))", "BAD"),
    ("SET (personal (MessageExpunge FlagChange))", "BAD"),
    ("SET (personal (MessageNew (uid) MessageExpunge))", "BAD"),
    ("SET (selected (MailboxName))", "BAD"),
    ("SET (selected NONE) (selected-delayed NONE)", "BAD"),
    ("SET (mailboxes (" + " ".join(f"m{i}" for i in range(1100)) + ") (MailboxName))", r"NO \[NOTIFICATIONOVERFLOW\]"),
    ("SET " + " ".join(["(personal NONE)"] * 1100), r"NO \[NOTIFICATIONOVERFLOW\]"),
    ("SET", "BAD"), ("SET STATUS", "BAD"), ("SET ()", "BAD"), ("NONE x", "BAD"), ("SET (elsewhere NONE)", "BAD"), ("", "BAD"),
])
def test_refused(box, arguments, answer):
    assert re.match(f"x\\d+ {answer}", box.ask(f"NOTIFY {arguments}".rstrip())[-1])


@pytest.mark.sanitized
def test_more_than_a_client_reads(box, other):
    """What happens while a client cannot take it is told once; more than may wait, and it is told that this was too much."""
    for name in ("nf9", "nf10"):
        other.ok(f"CREATE {name}")
    box.ok("NOTIFY SET (mailboxes (nf9 nf10) (MessageNew MessageExpunge FlagChange))")
    # A literal that does not come: the session is busy with its command.
    box.send("w APPEND nf10 {10}\r\n")
    assert box.line().startswith("+ ")
    for _ in range(30):
        other.append("nf9", mail("many"))
    box.send("0123456789\r\n")
    assert box.until("w")[-1].startswith("w OK")
    assert re.match(r"\* STATUS nf9 \(MESSAGES 30 UIDNEXT 31 ", box.line())
    box.ok("NOTIFY SET (personal (ServerMetadataChange))")
    box.send("w APPEND nf10 {10}\r\n")
    assert box.line().startswith("+ ")
    for half in range(2):
        other.ok('SETMETADATA "" (' + " ".join(f"/shared/{half}/{i} NIL" for i in range(600)) + ")")
    box.send("0123456789\r\n")
    assert box.until("w")[-1].startswith("w OK")
    assert box.line().startswith("* OK [NOTIFICATIONOVERFLOW] ")
    other.ok('SETMETADATA "" (/shared/x NIL)')
    nothing_comes(box)
    assert box.ok("NOOP") == []
