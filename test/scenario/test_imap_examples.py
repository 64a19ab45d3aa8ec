"""The RFCs' own examples of capabilities that no other file is about; and where the examples of all are: whatever is advertised is here."""
import base64
import pathlib
import re

import pytest

from harness.house import IMAP, PASSWORD
from harness.imap import Line

HERE = pathlib.Path(__file__).parent
SOURCE = HERE.parents[1] / "src"


@pytest.fixture
def box(shared_demo):
    with Line(shared_demo, "alice") as line:
        yield line


def test_literals_that_do_not_wait(shared_demo):
    """RFC 7888 §4, with a name and a password that are here."""
    with Line(shared_demo) as line:
        line.script("""
            C: A001 LOGIN {5+}\\r\\nalice {13+}\\r\\ndemo-password
            S: A001 OK ...
            C: A002 STATUS {5+}\\r\\nINBOX (UIDVALIDITY)
            S: * STATUS INBOX (UIDVALIDITY ...)
            S: A002 OK done
        """)


def test_who_is_talking(box):
    """RFC 2971 §3.2 and §3.3."""
    box.script("""
        C: a023 ID ("name" "sodr" "version" "19.34" "vendor" "Pink Floyd Music Limited")
        S: * ID ("name" "Posthouse" ...
        S: a023 OK ...
        C: a042 ID NIL
        S: * ID ("name" "Posthouse" ...
        S: a042 OK ...
    """)


def test_initial_responses(shared_demo):
    """RFC 4959 §5: with one, with none, and with an empty one for a mechanism that is not offered here."""
    word = base64.b64encode(f"\0alice\0{PASSWORD}".encode()).decode()
    for script in (f"C: A01 AUTHENTICATE PLAIN {word}\nS: A01 OK ...",
                   f"C: A01 AUTHENTICATE PLAIN\nS: + \nC: {word}\nS: A01 OK ...",
                   "C: A01 AUTHENTICATE EXTERNAL =\nS: A01 NO ..."):
        with Line(shared_demo) as line:
            (names,) = line.ok("CAPABILITY")
            assert {"SASL-IR", "AUTH=PLAIN"} <= set(names.split()) and "AUTH=EXTERNAL" not in names.split()
            # (strip() takes the space behind "+".)
            line.script(script.replace("S: + ", "S: +..."))


def test_tls_on_the_way(shared_demo):
    """RFC 3501 §6.2.1."""
    house = shared_demo
    with house.imap(service=IMAP) as box:
        assert "STARTTLS" in box.capabilities
        box.starttls()
        assert "STARTTLS" not in box.capabilities
        box.login("alice", PASSWORD)
        assert b"STARTTLS" not in box.capability()[1][0]


def test_switching_on(box):
    """RFC 5161 §3.1, with its X-GOOD-IDEA that nobody knows."""
    box.script("""
        C: t2 ENABLE X-GOOD-IDEA
        S: * ENABLED
        S: t2 OK ...
        C: a1 ENABLE CONDSTORE
        S: * ENABLED CONDSTORE
        S: a1 OK ...
        C: a2 ENABLE
        S: a2 BAD ...
    """)


def test_waiting_for_news(box, shared_demo):
    """RFC 2177 §3."""
    box.fresh("idle", ["Subject: 1\n\nx\n", "Subject: 2\n\nx\n", "Subject: 3\n\nx\n"])
    with Line(shared_demo, "alice") as other:
        box.script("C: A002 IDLE\nS: + ...")
        other.append("idle", "Subject: 4\n\nx\n")
        box.script("""
            S: * 4 EXISTS
            S: * ... RECENT
            C: DONE
            S: A002 OK ...
            C: A004 IDLE
            S: + ...
        """)
        other.ok("SELECT idle")
        other.ok("STORE 2 +FLAGS.SILENT (\\Deleted)")
        box.script("S: * 2 FETCH (FLAGS (\\Deleted...")
        other.ok("EXPUNGE")
        other.append("idle", "Subject: 5\n\nx\n")
        box.script("""
            S: * 2 EXPUNGE
            S: * 4 EXISTS
            S: * ... RECENT
            C: DONE
            S: A004 OK ...
        """)


def test_uids(box):
    """RFC 4315 §2.1 and §4: UID EXPUNGE, APPENDUID, COPYUID; RFC 6851 §4.3: UID MOVE; RFC 3691 §2: UNSELECT."""
    box.ok("CREATE meeting")
    box.fresh("saved-messages", [(f"Subject: {i}\n\nx\n", "\\Deleted" if i in (3, 4) else "") for i in range(1, 7)])
    box.script("""
        C: A002 UID EXPUNGE 3:4,6
        S: * 3 EXPUNGE
        S: * 3 EXPUNGE
        S: A002 OK ...
        C: A003 APPEND saved-messages (\\Seen) {31+}\\r\\nSubject: afternoon meeting\\r\\n\\r\\nx
        S: * 5 EXISTS
        S: * ... RECENT
        S: A003 OK [APPENDUID <own> 7] ...
        C: A004 COPY 2:4 meeting
        S: A004 OK [COPYUID <meeting> 2,5:6 1:3] ...
        C: A005 UID COPY 305:310 meeting
        S: A005 OK ...
        C: a UID MOVE 2:5,42:69 meeting
        S: * OK [COPYUID <meeting> 2,5 4:5] ...
        S: * 2 EXPUNGE
        S: * 2 EXPUNGE
        S: a OK ...
        C: A340 STORE 1 +FLAGS.SILENT (\\Deleted)
        S: A340 OK ...
        C: A341 UNSELECT
        S: A341 OK ...
        C: A342 STATUS saved-messages (MESSAGES)
        S: * STATUS saved-messages (MESSAGES 3)
        S: A342 OK done
    """)


def test_sizes_and_limits(box):
    """RFC 8438 §3 and §4: STATUS=SIZE is what FETCH adds up to; RFC 7889 §3: APPENDLIMIT, asked for by STATUS and LIST, and held to."""
    box.fresh("frop", [f"Subject: {i}\n\n{'x' * i * 100}\n" for i in range(8)])
    sizes = [int(re.search(r"RFC822.SIZE (\d+)", line).group(1)) for line in box.ok("FETCH 1:* (RFC822.SIZE)")]
    box.script(f"""
        C: A01 STATUS frop (MESSAGES SIZE UIDNEXT)
        S: * STATUS frop (MESSAGES 8 UIDNEXT 9 SIZE {sum(sizes)})
        S: A01 OK done
        C: A04 LIST "" frop RETURN (STATUS (MESSAGES SIZE))
        S: * LIST (\\HasNoChildren) "/" frop
        S: * STATUS frop (MESSAGES 8 SIZE {sum(sizes)})
        S: A04 OK done
        C: t1 STATUS INBOX (APPENDLIMIT)
        S: * STATUS INBOX (APPENDLIMIT <limit>)
        S: t1 OK done
        C: t2 LIST "" frop RETURN (STATUS (APPENDLIMIT))
        S: * LIST (\\HasNoChildren) "/" frop
        S: * STATUS frop (APPENDLIMIT <limit>)
        S: t2 OK done
    """)
    box.send(f"t3 APPEND frop {{{int(box.known['limit']) + 1}}}\r\n")
    assert box.line().startswith("t3 NO [TOOBIG]")


def test_children(box):
    """RFC 3348 §4."""
    box.ok("CREATE ITEM_1/ITEM_1A")
    box.ok("CREATE ITEM_2/TOP_SECRET")
    box.script("""
        C: A001 LIST "" ITEM_*
        S: * LIST (\\HasChildren) "/" ITEM_1
        S: * LIST (\\HasNoChildren) "/" ITEM_1/ITEM_1A
        S: * LIST (\\HasChildren) "/" ITEM_2
        S: * LIST (\\HasNoChildren) "/" ITEM_2/TOP_SECRET
        S: A001 OK done
    """)


def test_letters_of_all_sizes(box):
    """I18NLEVEL=1 (RFC 5255 §4.3): SEARCH and SORT go by i;unicode-casemap."""
    box.fresh("casemap", [f"Subject: {word}\n\nx\n" for word in ("zebra", "Österreich", "ÉTÉ", "osten", "été")])
    upper = "ÖSTERREICH".encode()
    box.send(b"a SEARCH CHARSET UTF-8 SUBJECT {%d+}\r\n" % len(upper) + upper + b"\r\n")
    assert box.until("a")[0] == "* SEARCH 2"
    # The accents are letters of their own, behind o and z where casemap takes them apart, whatever their size.
    (row,) = box.ok("SORT (SUBJECT) UTF-8 ALL")
    order = row.split()[2:]
    assert abs(order.index("3") - order.index("5")) == 1


WHERE = {
    "IMAP4rev1": "test_corpus.py::test_whole_corpus_in_and_out", "IMAP4rev2": "test_imap_rev2.py::test_enabling_changes_answers",
    "LITERAL+": test_literals_that_do_not_wait, "ID": test_who_is_talking, "ENABLE": test_switching_on, "IDLE": test_waiting_for_news,
    "SASL-IR": test_initial_responses, "STARTTLS": test_tls_on_the_way, "LOGINDISABLED": "imap/imap_presession_test.c::test_offers",
    "COMPRESS=DEFLATE": "test_imap_compress.py::test_session_goes_on_compressed",
    "UNAUTHENTICATE": "test_imap_unauthenticate.py::test_another_account_on_the_same_connection",
    "NAMESPACE": "test_imap_acl.py::test_commands", "ACL": "test_imap_acl.py::test_commands", "RIGHTS=kxte": "test_imap_acl.py::test_each_right",
    "LIST-MYRIGHTS": "test_imap_acl.py::test_everything_else", "CHILDREN": test_children, "SPECIAL-USE": "test_imap_list.py::test_special_use",
    "CREATE-SPECIAL-USE": "test_imap_list.py::test_special_use", "NOTIFY": "test_imap_notify.py::test_other_mailboxes", "UIDPLUS": test_uids,
    "MOVE": test_uids, "UNSELECT": test_uids, "CONDSTORE": "test_imap_condstore.py::test_conditional_store",
    "QRESYNC": "test_imap_condstore.py::test_quick_resynchronization", "ESEARCH": "test_imap_search.py::test_extended_results",
    "SEARCHRES": "test_imap_search.py::test_saved_results", "WITHIN": "test_imap_search.py::test_ages_and_dates",
    "PARTIAL": "test_imap_search.py::test_parts_of_results", "OBJECTID": "test_imap_search.py::test_identifiers",
    "SAVEDATE": "test_imap_search.py::test_ages_and_dates", "PREVIEW": "test_imap_fetch.py::test_preview",
    "LIST-EXTENDED": "test_imap_list.py::test_recursive_match", "LIST-STATUS": "test_imap_list.py::test_status_beside_list",
    "STATUS=SIZE": test_sizes_and_limits, "UTF8=ACCEPT": "test_imap_metadata.py::test_utf8_accept",
    "LIST-METADATA": "test_imap_metadata.py::test_values", "METADATA": "test_imap_metadata.py::test_annotations",
    "QUOTA": "test_imap_metadata.py::test_quota", "QUOTA=RES-STORAGE": "test_imap_metadata.py::test_quota",
    "QUOTA=RES-MAILBOX": "test_imap_metadata.py::test_quota", "QUOTA=RES-ANNOTATION-STORAGE": "test_imap_metadata.py::test_quota",
    "MULTIAPPEND": "test_imap_append.py::test_several", "CATENATE": "test_imap_append.py::test_catenate", "REPLACE": "test_imap_append.py::test_replace",
    "APPENDLIMIT": test_sizes_and_limits, "SEARCH=FUZZY": "test_imap_search.py::test_fuzzy", "UIDONLY": "test_imap_condstore.py::test_only_uids",
    "INPROGRESS": "test_imap_context.py::test_progress_of_a_long_search", "SORT": "test_imap_sort.py::test_orders",
    "SORT=DISPLAY": "test_imap_sort.py::test_orders", "ESORT": "test_imap_sort.py::test_orders",
    "THREAD=ORDEREDSUBJECT": "test_imap_sort.py::test_threads_by_references", "THREAD=REFERENCES": "test_imap_sort.py::test_threads_by_references",
    "I18NLEVEL=1": test_letters_of_all_sizes, "BINARY": "test_imap_fetch.py::test_binary",
    "CONTEXT=SEARCH": "test_imap_context.py::test_updates_of_a_search", "CONTEXT=SORT": "test_imap_context.py::test_updates_of_a_sorted_search_while_idle",
    "MESSAGELIMIT=": "test_imap_context.py::test_no_more_messages_than_the_limit", "MULTISEARCH": "test_imap_context.py::test_several_mailboxes",
}


def test_all_that_is_advertised_is_shown(shared_demo, box):
    listed = re.findall(r'^CAPABILITY\("([^"]+)"', (SOURCE / "imap" / "capabilities.def").read_text(), re.M)
    assert set(listed) == set(WHERE)
    with Line(shared_demo) as stranger:
        offered = set(stranger.ok("CAPABILITY")[0].split()[2:]) | set(box.ok("CAPABILITY")[0].split()[2:])
    for name in offered:
        kind = name if name in WHERE else name.partition("=")[0] + "="
        assert kind in WHERE or kind == "AUTH=", f"{name} is advertised and shown nowhere"
    for place in WHERE.values():
        if isinstance(place, str):
            file, _, function = place.partition("::")
            text = ((SOURCE if file.endswith(".c") else HERE) / file).read_text()
            assert re.search(rf"\b{function}\b", text), place
