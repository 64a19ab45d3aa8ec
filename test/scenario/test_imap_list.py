"""LIST in all its forms (RFC 9051 §6.3.9, RFC 5258, 5819, 6154, 8438), STATUS and CREATE with a special use."""
import re

import pytest

from harness.imap import Line

pytestmark = pytest.mark.sanitized


@pytest.fixture(scope="module")
def tree(shared_demo):
    """The mailboxes of RFC 9051 §6.3.9.8's examples."""
    box = Line(shared_demo, "alice")
    for name in ("Fruit", "Fruit/Apple", "Fruit/Banana", "Fruit/Peach", "Tofu", "Vegetable", "Vegetable/Broccoli", "Vegetable/Corn",
                 "foo2", "foo2/bar1", "foo2/bar2", "B&APw-cher"):
        box.ok(f"CREATE {name}")
    for name in ("Fruit/Banana", "Fruit/Peach", "Vegetable", "Vegetable/Broccoli", "foo2/bar1"):
        box.ok(f"SUBSCRIBE {name}")
    for name in ("INBOX", "Drafts", "Sent", "Junk", "Trash", "Archive"):
        box.ok(f"UNSUBSCRIBE {name}")
    # Subscribed without existing.
    box.ok("DELETE Fruit/Peach")
    yield box
    box.close()


def listed(box, arguments):
    """{name: (set of attributes, what follows the name)}; each name is told once."""
    found = {}
    for line in box.ok(f"LIST {arguments}"):
        m = re.fullmatch(r'\* LIST \(([^)]*)\) "/" ("[^"]*"|\S+)(.*)', line)
        if m is None:
            assert line.startswith("* STATUS"), line
            continue
        name = m.group(2).strip('"')
        assert name not in found, f"{name} was told twice"
        found[name] = (set(m.group(1).split()), m.group(3).strip())
    return found


def test_subscribed(tree):
    found = listed(tree, '(SUBSCRIBED) "" "*"')
    assert set(found) == {"Fruit/Banana", "Fruit/Peach", "Vegetable", "Vegetable/Broccoli", "foo2/bar1"}
    assert found["Fruit/Peach"][0] == {"\\NonExistent", "\\Subscribed"}
    assert found["Vegetable"][0] == {"\\HasChildren", "\\Subscribed"}
    # No special meaning of "%" for levels above, unlike LSUB.
    assert set(listed(tree, '(SUBSCRIBED) "" "%"')) == {"Vegetable"}
    found = listed(tree, '"" "*" RETURN (SUBSCRIBED)')
    assert "\\Subscribed" in found["Vegetable"][0] and "\\Subscribed" not in found["Tofu"][0]
    assert "Fruit/Peach" not in found


def test_recursive_match(tree):
    found = listed(tree, '(SUBSCRIBED RECURSIVEMATCH) "" "%"')
    assert set(found) == {"Fruit", "Vegetable", "foo2"}
    assert found["Fruit"] == ({"\\HasChildren"}, '(CHILDINFO ("SUBSCRIBED"))')
    assert found["Vegetable"] == ({"\\HasChildren", "\\Subscribed"}, '(CHILDINFO ("SUBSCRIBED"))')
    assert set(listed(tree, '(SUBSCRIBED RECURSIVEMATCH) "" "foo2/%"')) == {"foo2/bar1"}
    assert tree.ask('LIST (RECURSIVEMATCH) "" "*"')[-1].split()[1] == "BAD"
    assert tree.ask('LIST (RECURSIVEMATCH REMOTE) "" "*"')[-1].split()[1] == "BAD"


def test_levels_that_do_not_exist(tree):
    tree.ok("SUBSCRIBE ghost/deep/leaf")
    found = listed(tree, '(SUBSCRIBED RECURSIVEMATCH) "" "ghost"')
    assert found == {"ghost": ({"\\NonExistent"}, '(CHILDINFO ("SUBSCRIBED"))')}
    assert set(listed(tree, '(SUBSCRIBED RECURSIVEMATCH) "ghost/" "%"')) == {"ghost/deep"}
    tree.ok("UNSUBSCRIBE ghost/deep/leaf")


def test_several_patterns(tree):
    assert set(listed(tree, '"" ("Fruit/*" "*/Banana" INBOX)')) == {"INBOX", "Fruit/Apple", "Fruit/Banana"}
    # In the extended form an empty name is an empty name.
    assert listed(tree, '() "" ""') == {}
    assert listed(tree, '"" ""') == {"": ({"\\Noselect"}, "")}
    assert tree.ask('LIST "" (' + " ".join(["a"] * 200) + ")")[-1].split()[1] == "BAD"


def test_special_use(tree):
    found = listed(tree, '(SPECIAL-USE) "" "*"')
    assert {name: (a & {"\\Drafts", "\\Sent", "\\Junk", "\\Trash", "\\Archive"}) for name, (a, _) in found.items()} == {
        "Drafts": {"\\Drafts"}, "Sent": {"\\Sent"}, "Junk": {"\\Junk"}, "Trash": {"\\Trash"}, "Archive": {"\\Archive"}}
    assert set(listed(tree, '"" "%" RETURN (SPECIAL-USE CHILDREN)')) >= {"Sent", "Tofu"}
    # RFC 6154 §3.
    assert "[USEATTR]" in tree.ask("CREATE Posted (USE (\\Sent))")[-1]
    assert "[USEATTR]" in tree.ask("CREATE Everything (USE (\\All))")[-1]
    assert "[USEATTR]" in tree.ask("CREATE Both (USE (\\Junk \\Trash))")[-1]
    tree.ok("DELETE Junk")
    assert re.search(r"OK \[MAILBOXID \(\w+\)\]", tree.ask("CREATE Spam (USE (\\Junk))")[-1])
    assert "\\Junk" in listed(tree, '"" Spam')["Spam"][0]
    assert tree.ask("CREATE X (FUSE (\\Junk))")[-1].split()[1] == "BAD"


def test_status_beside_list(tree):
    lines = tree.ok('LIST "" ("Fruit%" "Fruit/%" INBOX) RETURN (STATUS (MESSAGES SIZE APPENDLIMIT) CHILDREN)')
    for name in ("INBOX", "Fruit", "Fruit/Apple"):
        at = next(i for i, line in enumerate(lines) if line.startswith("* LIST") and line.endswith('"/" ' + name))
        assert re.fullmatch(rf"\* STATUS {name} \(MESSAGES 0 SIZE 0 APPENDLIMIT \d+\)", lines[at + 1]), lines[at + 1]
    assert tree.ask('LIST "" * RETURN (STATUS ())')[-1].split()[1] == "BAD"
    # What does not exist has no STATUS.
    lines = tree.ok('LIST (SUBSCRIBED) "" Fruit/Peach RETURN (STATUS (MESSAGES))')
    assert len(lines) == 1


def test_names_in_both_forms(shared_demo, tree):
    assert set(listed(tree, '"" "B*"')) == {"B&APw-cher"}
    with Line(shared_demo, "alice") as rev2:
        rev2.ok("ENABLE IMAP4rev2")
        (line,) = rev2.ok('LIST "" "B*"')
    assert "B\u00fccher" in line.encode("latin-1").decode()


def test_bad_arguments(tree):
    for bad in ('(SUBSCRIBED', '(NOSUCH) "" *', '"" * RETURN', '"" * RETURN (NOSUCH)', '"" * (SUBSCRIBED)', '"" (a b', '"" *  RETURN ()',
                '(SUBSCRIBED)"" *'):
        assert tree.ask("LIST " + bad)[-1].split()[1] == "BAD", bad
    assert listed(tree, '"" INBOX RETURN ()') == {"INBOX": ({"\\HasNoChildren"}, "")}
