"""Mailboxes that accounts share: ACL (RFC 4314), LIST-MYRIGHTS (RFC 8440), other users' namespace (RFC 2342)."""
import itertools
import re
import threading

import pytest

from harness.house import IMAPS, PASSWORD, CommandFailed, Served
from harness.imap import Line
from test_clients import mbsync_config, need, sh

ALL = "lrswipkxtecda"
names = (f"acl{n}" for n in itertools.count())


def mail(subject):
    return f"From: a@example.test\nMessage-ID: <{subject}@example.test>\nSubject: {subject}\n\nbody\n"


def theirs(name):
    return f'"Other Users/alice@example.test/{name}"'


@pytest.fixture(scope="module")
def alice(shared_demo):
    with Line(shared_demo, "alice") as line:
        yield line


@pytest.fixture
def bob(shared_demo):
    with Line(shared_demo, "bob") as line:
        yield line


@pytest.fixture
def box(alice):
    """A mailbox of alice's with three messages."""
    name = next(names)
    alice.ok(f"CREATE {name}")
    for n in range(3):
        alice.append(name, mail(f"{name}.{n}"))
    return name


def code(line, command):
    return line.ask(command)[-1].split(" ", 1)[1]


def can(line, command):
    return code(line, command).startswith("OK")


@pytest.mark.sanitized
def test_commands(alice, box):
    """RFC 4314 §3."""
    assert {"ACL", "RIGHTS=kxte", "LIST-MYRIGHTS"} <= set(alice.ok("CAPABILITY")[0].split())
    alice.script(f"""
        C: a MYRIGHTS {box}
        S: * MYRIGHTS {box} {ALL}
        S: a OK done
        C: a SetAcl {box} bob lrswida
        S: a OK done
        C: a GETACL {box}
        S: * ACL {box} "alice@example.test" {ALL} "bob@example.test" lrswiteda
        S: a OK done
        C: a SETACL {box} bob@EXAMPLE.test -w
        S: a OK done
        C: a SETACL {box} anyone +lk
        S: a OK done
        C: a SETACL {box} -bob@example.test lt
        S: a OK done
        C: a GETACL {box}
        S: * ACL {box} "alice@example.test" {ALL} "anyone" lkc "bob@example.test" lrsiteda "-bob@example.test" ltd
        S: a OK done
        C: a LISTRIGHTS {box} bob
        S: * LISTRIGHTS {box} "bob" "" l r s w i p k x t e c d a
        S: a OK done
        C: a LISTRIGHTS {box} alice
        S: * LISTRIGHTS {box} "alice" lrswipkxtecda
        S: a OK done
        C: a DELETEACL {box} bob
        S: a OK done
        C: a SETACL {box} -bob ""
        S: a OK done
        C: a DELETEACL {box} anyone
        S: a OK done
        C: a GETACL {box}
        S: * ACL {box} "alice@example.test" {ALL}
        S: a OK done
        C: a SETACL {box} John lrQswicda
        S: a BAD ...
        C: a SETACL {box} bob lrqswicda
        S: a BAD ...
        C: a SETACL {box} "" l
        S: a BAD ...
        C: a SETACL {box} "-" l
        S: a BAD ...
        C: a SETACL {box} nobody@example.test lr
        S: a NO [NONEXISTENT] ...
        C: a SETACL {box} alice lr
        S: a NO [CANNOT] ...
        C: a SETACL {box} alice lrswipkxtea
        S: a OK ...
        C: a SETACL nowhere bob lr
        S: a NO [NONEXISTENT] ...
        C: a GETACL nowhere
        S: a NO [NONEXISTENT] ...
        C: a MYRIGHTS "Other Users"
        S: a NO [NONEXISTENT] ...
        C: a CREATE "Other Users/x"
        S: a NO [NOPERM] ...
        C: a CREATE "Other Users"
        S: a NO [NOPERM] ...
        C: a RENAME {box} "Other Users/bob@example.test/x"
        S: a NO [NOPERM] ...
        C: a NAMESPACE
        S: * NAMESPACE (("" "/")) (("Other Users/" "/")) NIL
        S: a OK done
    """)


@pytest.mark.sanitized
def test_each_right(alice, bob, box):
    """The table of RFC 4314 §4, command by command: what each right alone allows, and that the others do not."""
    def give(rights):
        alice.ok(f"SETACL {box} bob {rights}")

    allowed = {
        f"STATUS {theirs(box)} (MESSAGES)": "r",
        f"EXAMINE {theirs(box)}": "r",
        f"GETQUOTAROOT {theirs(box)}": "r",
        f"GETACL {theirs(box)}": "a",
        f"LISTRIGHTS {theirs(box)} anyone": "a",
        f"DELETEACL {theirs(box)} anyone": "a",
        f"SETACL {theirs(box)} anyone \"\"": "a",
        f"MYRIGHTS {theirs(box)}": "lrikxa",
        f"CREATE {theirs(box + '/sub')}": "k",
    }
    for right in "lrswipkxtea":
        give(right)
        listed = any(box in row for row in bob.ok('LIST "" "Other Users/*"'))
        assert listed == (right == "l"), right
        for command, needs in allowed.items():
            answer = code(bob, command)
            if command.startswith("EXAMINE") and answer.startswith("OK"):
                bob.ok("UNSELECT")
            assert answer.startswith("OK") == (right in needs), (right, command, answer)
            if not answer.startswith("OK") and not command.startswith("CREATE"):
                assert answer.startswith("NO [NOPERM]" if right == "l" else "NO [NONEXISTENT]"), (right, command, answer)
        bob.send(f"z APPEND {theirs(box)} {{{5}+}}\r\nx: y\n\r\n")
        answer = bob.until("z")[-1]
        assert answer.startswith("z OK") == (right == "i"), (right, answer)
        # RFC 4315 §3: nothing is told of what may not be read.
        assert "APPENDUID" not in answer
        if right == "k":
            alice.ok(f"DELETE {box}/sub")
        if right != "x":
            assert not can(bob, f"DELETE {theirs(box)}") and not can(bob, f"RENAME {theirs(box)} {theirs(box + 'x')}")
    # RENAME: x here, k there.
    alice.ok(f"CREATE {box}/a")
    alice.ok(f"CREATE {box}/b")
    alice.ok(f"SETACL {box}/a bob lx")
    assert code(bob, f"RENAME {theirs(box + '/a')} {theirs(box + '/b/a')}").startswith("NO [NOPERM]")
    alice.ok(f"SETACL {box}/b bob k")
    bob.ok(f"RENAME {theirs(box + '/a')} {theirs(box + '/b/a')}")
    assert '"bob@example.test" lxc' in alice.ok(f"GETACL {box}/b/a")[0]
    assert code(bob, f"RENAME {theirs(box + '/b/a')} mine").startswith("NO [CANNOT]")
    bob.ok(f"DELETE {theirs(box + '/b/a')}")


@pytest.mark.sanitized
def test_rights_while_selected(alice, bob, box):
    def give(rights):
        alice.ok(f"SETACL {box} bob {rights}")

    give("lr")
    assert "[READ-ONLY]" in bob.ask(f"SELECT {theirs(box)}")[-1]
    for right, flags in (("s", r"\Seen"), ("w", r"\Answered \Flagged \Draft \*"), ("t", r"\Deleted")):
        give("lr" + right)
        rows = bob.ask(f"SELECT {theirs(box)}")
        assert "[READ-WRITE]" in rows[-1]
        assert any(f"[PERMANENTFLAGS ({flags})]" in row for row in rows), rows
        for mine, flag in (("s", r"\Seen"), ("w", r"\Flagged"), ("w", "$Work"), ("t", r"\Deleted")):
            assert can(bob, f"STORE 1 +FLAGS ({flag})") == (mine == right)
        assert not can(bob, "EXPUNGE") and not can(bob, f"MOVE 1 INBOX")
        # Those without a right stay as they are, and the command goes on with the others.
        bob.ok(r"STORE 2 +FLAGS (\Seen \Flagged \Deleted)")
    alice.ok(f"SELECT {box}")
    (row,) = alice.ok("FETCH 2 (FLAGS)")
    assert set(re.search(r"FLAGS \(([^)]*)\)", row).group(1).split()) >= {r"\Seen", r"\Flagged", r"\Deleted"}
    # FLAGS replaces only what may be changed.
    give("lrs")
    bob.ok(f"SELECT {theirs(box)}")
    bob.ok(r"STORE 2 FLAGS (\Seen)")
    (row,) = bob.ok("FETCH 2 (FLAGS)")
    assert r"\Flagged" in row and r"\Deleted" in row
    bob.ok(r"STORE 2 FLAGS ()")
    (row,) = bob.ok("FETCH 2 (FLAGS)")
    assert r"\Flagged" in row and r"\Seen" not in row
    # BODY[] sets \Seen by who may only.
    bob.ok("FETCH 3 BODY[]")
    assert r"\Seen" in bob.ok("FETCH 3 (FLAGS)")[0]
    give("lrw")
    bob.ok(r"FETCH 2 BODY[]")
    assert r"\Seen" not in bob.ok("FETCH 2 (FLAGS)")[0]
    # CLOSE expunges with e only, and says OK all the same.
    bob.ok("CLOSE")
    alice.ok("NOOP")
    assert alice.ok("SEARCH DELETED")[0].split()[2:]
    give("lrte")
    bob.ok(f"SELECT {theirs(box)}")
    bob.ok("CLOSE")
    assert any("EXPUNGE" in row for row in alice.ok("NOOP"))
    alice.ok("UNSELECT")


@pytest.mark.sanitized
def test_copies(alice, bob, box):
    """Between accounts: the flags that the rights there allow (RFC 4314 §4), the same EMAILID (RFC 8474 §5.1)."""
    mine = "copies" + box
    bob.ok(f"CREATE {mine}")
    bob.append(mine, mail("a" + box), r"\Draft \Deleted")
    bob.append(mine, mail("b" + box), r"\Answered")
    bob.append(mine, mail("c" + box), r"$Forwarded \Seen")
    bob.ok(f"SELECT {mine}")
    seen = []
    for rights, wanted in (("lrwis", [{r"\Draft"}, {r"\Answered"}, {"$Forwarded", r"\Seen"}]), ("lrsti", [{r"\Deleted"}, set(), {r"\Seen"}])):
        alice.ok(f"SETACL {box} bob {rights}")
        assert "COPYUID" in bob.ask(f"COPY 1:3 {theirs(box)}")[-1]
        alice.ok(f"EXAMINE {box}")
        rows = [row for row in alice.ok("UID FETCH 4:* (FLAGS EMAILID)") if "FETCH" in row][-3:]
        assert [set(re.search(r"FLAGS \(([^)]*)\)", row).group(1).split()) - {r"\Recent"} for row in rows] == wanted
        seen.append([re.search(r"EMAILID \((\w+)\)", row).group(1) for row in rows])
        alice.ok("UNSELECT")
    assert seen[0] == seen[1] == [re.search(r"EMAILID \((\w+)\)", row).group(1) for row in bob.ok("FETCH 1:3 EMAILID")]
    alice.ok(f"SETACL {box} bob i")
    assert "COPYUID" not in bob.ask(f"COPY 1 {theirs(box)}")[-1]
    alice.ok(f"SETACL {box} bob lr")
    assert code(bob, f"COPY 1 {theirs(box)}").startswith("NO [NOPERM]")
    # Out of it: to read is enough; to move, to delete and expunge as well.
    bob.ok(f"SELECT {theirs(box)}")
    bob.ok("COPY 1 INBOX")
    assert code(bob, "MOVE 1 INBOX").startswith("NO")
    alice.ok(f"SETACL {box} bob lrte")
    bob.ok(f"SELECT {theirs(box)}")  # what was opened for reading only stays so
    rows = bob.ask("MOVE 1 INBOX")
    assert any("COPYUID" in row for row in rows) and "* 1 EXPUNGE" in rows
    # CATENATE reads from there too.
    body = f'{theirs(box)[1:-1].replace(" ", "%20").replace("@", "%40")}'
    bob.send(f'y APPEND INBOX CATENATE (URL "/{body}/;UID=2/;SECTION=HEADER" TEXT {{4+}}\r\nhi\r\n)\r\n')
    assert bob.until("y")[-1].startswith("y OK")
    alice.ok(f"DELETEACL {box} bob")
    bob.send("n NOOP\r\n")
    assert bob.line() == "* BYE you may not read the selected mailbox any more"


COMMANDS = ["STATUS {} (MESSAGES)", "SELECT {}", "EXAMINE {}", "GETACL {}", "MYRIGHTS {}", "LISTRIGHTS {} bob", "SETACL {} bob lr",
            "DELETEACL {} bob", "DELETE {}", "RENAME {} {}x", "GETQUOTAROOT {}", "GETMETADATA {} /shared/comment",
            'SETMETADATA {} (/shared/comment "x")', 'SETMETADATA {} (/private/comment "x")', "LIST \"\" {} RETURN (MYRIGHTS STATUS (MESSAGES))",
            "ESEARCH IN (mailboxes {}) ALL", "CREATE {}", "CREATE {}y", "COPY 1 {}", "APPEND {} {{1+}}\r\nx",
            "NOTIFY SET STATUS (mailboxes {} (MessageNew MessageExpunge))"]


@pytest.mark.sanitized
def test_nothing_leaks(shared_demo, alice, box):
    """Whoever has no right cannot tell a mailbox from none, nor an account from none."""
    alice.ok(f"CREATE {box}/open")
    alice.ok(f"SETACL {box}/open bob lr")
    shared_demo.run("account", "share", "alice@example.test", "Archive", "admin@example.test", "lr")

    def answers(user, name):
        with Line(shared_demo, user) as line:
            line.append("INBOX", mail("x"))
            line.ok("SELECT INBOX")
            got = []
            for command in COMMANDS:
                quoted = command.replace("{}y", f'"{name}/y"').replace("{}x", f'"{name}x"').replace("{}", f'"{name}"').replace("{{", "{").replace("}}", "}")
                rows = line.ask(quoted)
                got.append([re.sub(r"^x\d+ ", "", row).replace(name, "NAME") for row in rows if not row.startswith("* OK [CLOSED]")])
                if "SELECT" in quoted or "EXAMINE" in quoted:
                    line.ok("SELECT INBOX")
            return got

    none = answers("bob", "Other Users/alice@example.test/nothing")
    assert none == answers("bob", f"Other Users/alice@example.test/{box}")
    assert none == answers("bob", "Other Users/alice@example.test/Archive")
    # Nobody of that name; somebody who shares nothing; somebody who shares with others only.
    nobody = answers("bob", "Other Users/nobody@example.test/INBOX")
    assert nobody == answers("bob", "Other Users/admin@example.test/INBOX")
    assert nobody == none
    # Those above what may be seen look as if they were not there (RFC 4314 §4).
    with Line(shared_demo, "bob") as bob:
        rows = bob.ok('LIST "" "Other Users/alice@example.test/*"')
        assert [row for row in rows if box in row] == [f'* LIST (\\HasNoChildren) "/" {theirs(box + "/open")}']
        rows = bob.ok(f'LIST "" "Other Users/alice@example.test/%"')
        assert f'* LIST (\\NonExistent \\HasChildren) "/" {theirs(box)}' in rows
        # Keywords of other mailboxes are nobody's business.
        alice.append(box, mail("k"), "Secret" + box)
        rows = bob.ok(f"SELECT {theirs(box + '/open')}")
        assert not any("Secret" in row for row in rows)
        # Nor are new names and their going.
        bob.ok("NOTIFY SET (subtree \"Other Users\" (MailboxName MessageNew MessageExpunge))")
        alice.ok(f"CREATE {box}/hidden")
        alice.append(f"{box}/hidden", mail("h"))
        alice.ok(f"DELETE {box}/hidden")
        alice.append(f"{box}/open", mail("o"))
        alice.ok(f"SETACL {box}/open bob l")
        seen = []
        while not seen or "BYE" not in seen[-1]:
            seen.append(bob.line())
        assert not any("hidden" in row for row in seen), seen
    shared_demo.run("account", "unshare", "alice@example.test", "Archive", "admin@example.test")


@pytest.mark.sanitized
def test_revoked(shared_demo, alice, bob, box):
    """A right that is taken ends a session that idles in the mailbox; one that changes is told; commands hold to it at once."""
    alice.ok(f"SETACL {box} bob lrswit")
    bob.ok(f"SELECT {theirs(box)}")
    alice.ok(f"SETACL {box} bob -w")
    rows = bob.ok("NOOP")
    assert r"* OK [PERMANENTFLAGS (\Deleted \Seen)] Flags that are kept" in rows
    assert not can(bob, r"STORE 1 +FLAGS (\Flagged)")
    # An APPEND whose message comes while its right goes.
    bob.send(f"m APPEND {theirs(box)} {{6}}\r\n")
    assert bob.line().startswith("+")
    alice.ok(f"SETACL {box} bob -i")
    bob.send("x: y\r\n\r\n")
    assert bob.until("m")[-1].startswith("m NO [NOPERM]")
    bob.send("i IDLE\r\n")
    assert bob.line().startswith("+")
    alice.append(box, mail("news"))
    assert "EXISTS" in bob.line()
    bob.line()
    alice.ok(f"SETACL {box} bob -r")
    alice.append(box, mail("secret"))
    assert bob.line() == "* BYE you may not read the selected mailbox any more"
    # Its end, with the mailbox.
    with Line(shared_demo, "bob") as again:
        alice.ok(f"SETACL {box} bob lr")
        again.ok(f"SELECT {theirs(box)}")
        again.send("i IDLE\r\n")
        assert again.line().startswith("+")
        alice.ok(f"DELETE {box}")
        assert "BYE" in again.line()
        alice.ok(f"CREATE {box}")
    with Line(shared_demo, "bob") as again:
        assert code(again, f"SELECT {theirs(box)}").startswith("NO [NONEXISTENT]")


@pytest.mark.sanitized
def test_everything_else(shared_demo, alice, bob, box):
    """Lists, subscriptions, annotations, quotas, searches and notifications reach what is shared."""
    alice.ok(f"SETACL {box} bob lrswi")
    bob.script(f"""
        C: a LIST "" {theirs(box)} RETURN (MYRIGHTS STATUS (MESSAGES) SUBSCRIBED)
        S: * LIST (\\HasNoChildren) "/" {theirs(box)}
        S: * STATUS {theirs(box)} (MESSAGES 3)
        S: * MYRIGHTS {theirs(box)} lrswi
        S: a OK done
        C: a SUBSCRIBE {theirs(box)}
        S: a OK done
        C: a LSUB "" {theirs('%')}
        S: * LSUB () "/" {theirs(box)}
        S: a OK done
        C: a LIST (SUBSCRIBED) "" {theirs(box)}
        S: * LIST (\\HasNoChildren \\Subscribed) "/" {theirs(box)}
        S: a OK done
        C: a SETMETADATA {theirs(box)} (/private/comment "bob's" /shared/comment "everybody's")
        S: a OK done
        C: a GETMETADATA {theirs(box)} (/private/comment /shared/comment)
        S: * METADATA {theirs(box)} ("/private/comment" "bob's" "/shared/comment" "everybody's")
        S: a OK done
        C: a GETQUOTAROOT {theirs(box)}
        S: * QUOTAROOT {theirs(box)}
        S: a OK done
        C: a ESEARCH IN (subtree "Other Users" personal) RETURN (COUNT) SUBJECT {box}
        S: * ESEARCH (TAG "a" MAILBOX {theirs(box)} UIDVALIDITY ...) UID COUNT 3
        S: a OK done
        C: a ESEARCH IN (subscribed) RETURN (COUNT) TEXT {box}
        S: * ESEARCH (TAG "a" MAILBOX {theirs(box)} UIDVALIDITY ...) UID COUNT 3
        S: a OK done
        C: a NOTIFY SET STATUS (mailboxes {theirs(box)} (MessageNew MessageExpunge MailboxName MailboxMetadataChange))
        S: * STATUS {theirs(box)} (MESSAGES 3 UIDNEXT 4 UIDVALIDITY ...)
        S: a OK done
    """)
    assert alice.ok(f"GETMETADATA {box} (/private/comment /shared/comment)") == [f'* METADATA {box} ("/shared/comment" "everybody\'s")']
    alice.append(box, mail("new"))
    assert bob.line().startswith(f"* STATUS {theirs(box)} (MESSAGES 4 ")
    alice.ok(f'SETMETADATA {box} (/shared/comment "changed" /private/comment "alice\'s")')
    assert bob.line() == f'* METADATA {theirs(box)} "/shared/comment"'
    alice.ok(f"SETACL {box} bob s")
    assert bob.line().startswith("* LIST (\\NonExistent")
    alice.ok(f"SETACL {box} bob lr")
    assert bob.line().startswith(f"* LIST (\\HasNoChildren \\Subscribed) \"/\" {theirs(box)}")
    # Without the right to change flags, what all see is not changed either.
    assert code(bob, f'SETMETADATA {theirs(box)} (/shared/comment "x")').startswith("NO [NOPERM]")
    bob.ok(f"UNSUBSCRIBE {theirs(box)}")
    shared_demo.run("account", "quota", "alice@example.test", "1M")
    try:
        rows = bob.ok(f"GETQUOTAROOT {theirs(box)}")
        assert rows[0] == f'* QUOTAROOT {theirs(box)} "Other Users/alice@example.test"'
        assert re.fullmatch(r'\* QUOTA "Other Users/alice@example.test" \(STORAGE \d+ 1024\)', rows[1]), rows
        assert bob.ok('GETQUOTA "Other Users/alice@example.test"') == [rows[1]]
        assert code(bob, 'GETQUOTA "Other Users/admin@example.test"').startswith("NO [NONEXISTENT]")
        # What is put there counts to its owner.
        alice.ok(f"SETACL {box} bob lri")
        bob.send(b"q APPEND %s {1100000+}\r\n" % theirs(box).encode() + b"Subject: large\r\n\r\n" + b"x" * 1099982 + b"\r\n")
        assert "[OVERQUOTA]" in bob.until("q")[-1]
    finally:
        shared_demo.run("account", "quota", "alice@example.test", "0")


def test_searches_of_what_may_be_read_only(alice, bob, box):
    """RFC 7377 §2.2: to be read is enough for a mailbox that is named; elsewhere it must be seen too. What may not be read is passed over."""
    alice.ok(f"CREATE {box}/shut")
    alice.append(f"{box}/shut", mail(f"{box}.shut"))
    alice.ok(f"SETACL {box} bob r")
    alice.ok(f"SETACL {box}/shut bob l")
    everywhere = f'(mailboxes ({theirs(box)} {theirs(box + "/shut")} {theirs(box + "/none")} {theirs(box)} "Other Users/nobody@example.test/x"))'
    found = f'* ESEARCH (TAG "a" MAILBOX {theirs(box)} UIDVALIDITY ...) UID COUNT 3'
    bob.script(f"""
        C: a ESEARCH IN {everywhere} RETURN (COUNT) SUBJECT {box}
        S: {found}
        S: a OK done
        C: a ESEARCH IN (subtree "Other Users" subscribed inboxes) RETURN (COUNT) SUBJECT {box}
        S: a OK done
    """)
    bob.ok(f"EXAMINE {theirs(box)}")
    bob.script(f"""
        C: a ESEARCH IN (selected {everywhere[1:-1]}) RETURN (COUNT) SUBJECT {box}
        S: {found}
        S: a OK done
        C: a UNSELECT
        S: a OK ...
    """)
    alice.ok(f"SETACL {box} bob l")
    assert bob.ok(f"ESEARCH IN {everywhere} RETURN (COUNT) ALL") == []


def test_operator(shared_demo, alice, box):
    run = shared_demo.run
    run("account", "share", "alice@example.test", box, "bob@example.test", "lrswite")
    run("account", "share", "alice@example.test", box, "anyone", "l")
    alice.ok(f"SETACL {box} -admin l")
    assert {"mailbox": box, "who": "bob@example.test", "rights": "lrswited"} in shared_demo.rows("account", "shares", "alice@example.test")
    assert {"mailbox": box, "who": "-admin@example.test", "rights": "l"} in shared_demo.rows("account", "shares", "alice@example.test")
    with Line(shared_demo, "admin") as admin, Line(shared_demo, "bob") as bob:
        assert not any(box in row for row in admin.ok('LIST "" *'))
        assert any(box in row for row in bob.ok('LIST "" *'))
    run("account", "share", "alice@example.test", box, "bob@example.test", "+a")
    run("account", "unshare", "alice@example.test", box, "bob@example.test")
    for wrong, words in ((("nowhere", "bob", "lr"), "no mailbox nowhere"), ((box, "carol", "lr"), "cannot share with carol"),
                         ((box, "bob", "lrq"), "are no rights"), ((box, "alice", "lr"), "has all rights")):
        with pytest.raises(CommandFailed, match=words):
            run("account", "share", "alice@example.test", *wrong)
    assert {row["who"] for row in shared_demo.rows("account", "shares", "alice@example.test") if row["mailbox"] == box} == {"anyone", "-admin@example.test"}
    # An account that goes takes what it was given with it, and an address that comes back gets nothing.
    run("account", "add", "carol@example.test", "--password-stdin", input=PASSWORD + "\n")
    run("account", "share", "alice@example.test", box, "carol@example.test", "lr")
    run("account", "remove", "carol@example.test")
    assert "carol" not in str(shared_demo.rows("account", "shares", "alice@example.test"))
    run("account", "unshare", "alice@example.test", box, "anyone")
    run("account", "add", "carol@example.test", "--password-stdin", input=PASSWORD + "\n")
    with Line(shared_demo, "carol@example.test") as carol:
        assert code(carol, f"SELECT {theirs(box)}").startswith("NO [NONEXISTENT]")
    run("account", "remove", "carol@example.test")


def test_clients(demo, folder):
    """mbsync works on a mailbox that another account shares, curl reads it; both ways, flags too."""
    need("mbsync"), need("curl")
    with Line(demo, "alice") as alice:
        alice.ok("CREATE Team")
        for n in range(20):
            alice.append("Team", mail(f"team{n}"))
        alice.ok("SETACL Team bob lrswite")
        rc = mbsync_config(demo, folder, "bob")
        rc.write_text(rc.read_text().replace("Patterns *", 'Patterns "Other Users/alice@example.test/Team"'))
        sync = ("mbsync", "-c", rc, "-a", "-q")
        sh(folder, *sync)
        near = folder / "Mail" / "Other Users" / "alice@example.test" / "Team"
        files = sorted(list((near / "cur").iterdir()) + list((near / "new").iterdir()))
        assert len(files) == 20
        files[0].rename(near / "cur" / (files[0].name.split(":2,")[0] + ":2,FS"))
        files[1].unlink()
        (near / "new" / "9.local").write_text("Message-ID: <near@near>\nSubject: from bob\n\nx\n")
        sh(folder, *sync)
        alice.ok("SELECT Team")
        assert alice.ok("SEARCH FLAGGED SEEN")[0].split()[2:] and alice.ok("SEARCH SUBJECT bob")[0].split()[2:]
        assert len(alice.ok("UID SEARCH ALL")[0].split()[2:]) == 20
        alice.ok("UID STORE 5:6 +FLAGS (\\Deleted)")
        alice.ok("EXPUNGE")
        sh(folder, *sync)
        assert len(list((near / "cur").iterdir()) + list((near / "new").iterdir())) == 18
    out = sh(folder, "curl", "-sS", "-k", f"imaps://127.0.0.1:{demo.port(IMAPS)}/Other%20Users%2falice%40example.test%2fTeam;UID=8",
             "-u", f"bob:{PASSWORD}").stdout
    assert b"Subject: team7" in out


def test_many_at_once_and_a_crash(demo):
    """Sessions work in a mailbox while the right to it comes and goes: nobody reads without it, and what was answered outlives kill -9."""
    with Line(demo, "alice") as alice:
        alice.ok("CREATE Team")
        alice.append("Team", mail("one"))
        stop, wrong = threading.Event(), []

        def work(user):
            while not stop.is_set():
                try:
                    with Line(demo, user) as line:
                        line.ask(f"SELECT {theirs('Team')}")
                        for _ in range(5):
                            for command in ("FETCH 1:* (FLAGS BODY.PEEK[])", r"STORE 1 +FLAGS (\Flagged)", f"COPY 1 {theirs('Team')}", "COPY 1 INBOX"):
                                line.ask(command)
                except (AssertionError, OSError) as error:
                    if isinstance(error, AssertionError) and "the connection ended" not in str(error):
                        wrong.append(error)

        workers = [threading.Thread(target=work, args=(user,)) for user in ("bob", "admin", "bob")]
        for worker in workers:
            worker.start()
        for n in range(30):
            for user in ("bob", "admin"):
                alice.ok(f"SETACL Team {user} {('lrswite', 'l', 'lri', 'lrs')[n % 4]}")
        alice.ok("SETACL Team bob lrs")
        alice.ok("DELETEACL Team admin")
        stop.set()
        for worker in workers:
            worker.join()
        assert not wrong
        alice.ok("CREATE Team/below")
    demo.kill()
    demo.start()
    with Line(demo, "alice") as alice, Line(demo, "bob") as bob, Line(demo, "admin") as admin:
        assert alice.ok("GETACL Team")[0].endswith('"bob@example.test" lrs')
        assert alice.ok("GETACL Team/below")[0].endswith('"bob@example.test" lrs')
        bob.ok(f"SELECT {theirs('Team')}")
        assert code(admin, f"SELECT {theirs('Team')}").startswith("NO [NONEXISTENT]")
        alice.ok("NOOP")


def test_domains_and_desks(folder):
    """Mailboxes are shared within a domain unless the house says otherwise, and within one desk process."""
    with Served(folder / "served", "mx.one.test", house_config="desks = 2") as house:
        house.domain("one.test", *(f"u{n}" for n in range(5)))
        house.domain("two.test", "stranger")
        with Line(house, "u0@one.test") as owner:
            answers = {n: code(owner, f"SETACL INBOX u{n}@one.test lr") for n in range(1, 5)}
            assert all(a.startswith(("OK", "NO [UNAVAILABLE]")) for a in answers.values()), answers
            assert code(owner, "SETACL INBOX stranger@two.test lr").startswith("NO [NONEXISTENT]")
            for n, answer in answers.items():
                with Line(house, f"u{n}@one.test") as other:
                    got = code(other, 'STATUS "Other Users/u0@one.test/INBOX" (MESSAGES)')
                    assert got.startswith("OK" if answer.startswith("OK") else "NO [NONEXISTENT]")
            owner.ok("SETACL INBOX anyone lr")
    house.house_config = "desks = 1\nsharing_between_domains = yes"
    with house:
        with Line(house, "u0@one.test") as owner, Line(house, "stranger@two.test") as stranger, Line(house, "u4@one.test") as other:
            stranger.ok('SELECT "Other Users/u0@one.test/INBOX"')
            other.ok('SELECT "Other Users/u0@one.test/INBOX"')
