"""UNAUTHENTICATE (RFC 8437): one connection, several accounts."""
import socket
import zlib

import pytest

from harness.house import IMAP, PASSWORD
from harness.imap import Line
from harness.imap_mirror import Bytes

BODY = "From: a@example.test\nSubject: one\n\nbody\n"


@pytest.mark.sanitized
def test_another_account_on_the_same_connection(shared_demo):
    with Line(shared_demo) as box:
        assert "UNAUTHENTICATE" not in box.greeting
        assert box.ask("UNAUTHENTICATE")[-1].split()[1] == "BAD"
        box.ok(f"LOGIN alice {PASSWORD}")
        box.fresh("Hers", [BODY, BODY])
        box.ok("ENABLE QRESYNC UIDONLY")
        box.ok("UID SEARCH RETURN (SAVE) ALL")
        # What is deleted stays: leaving the mailbox expunges nothing.
        box.ok("UID STORE 1 +FLAGS (\\Deleted)")
        assert box.ask("UNAUTHENTICATE now")[-1].split()[1] == "BAD"
        box.ok("UNAUTHENTICATE")
        assert box.ask("SELECT Hers")[-1].split()[1] == "BAD"
        assert "LOGIN" not in box.ok("CAPABILITY")[0].split() and "AUTH=PLAIN" in box.ok("CAPABILITY")[0]
        assert "AUTHENTICATIONFAILED" in box.ask("LOGIN bob wrong")[-1]
        box.ok(f"LOGIN bob {PASSWORD}")
        assert box.ask("SELECT Hers")[-1].split()[1] == "NO"
        box.fresh("His", [BODY])
        # Nothing is enabled any more, and nothing saved.
        assert box.ok("FETCH 1 FLAGS") == ["* 1 FETCH (FLAGS (\\Recent))"]
        assert box.ok("SEARCH $") == ["* SEARCH"]
        box.ok("UNAUTHENTICATE")
        box.ok(f"LOGIN alice {PASSWORD}")
        assert "* 2 EXISTS" in box.ok("SELECT Hers")
        assert box.ok("SEARCH DELETED") == ["* SEARCH 1"]


@pytest.mark.sanitized
def test_what_is_sent_after_it_is_not_lost(shared_demo):
    """RFC 8437 §3: the next sign-in may be on its way already. Here all of it is, for many accounts in turn."""
    words = []
    for i in range(30):
        user = ("alice", "bob", "admin")[i % 3]
        words += [f"l{i} LOGIN {user} {PASSWORD}", f"c{i} CREATE Room{i}", f"s{i} SELECT Room{i}", f"i{i} IDLE", "DONE",
                  f"n{i} NOOP", f"u{i} UNAUTHENTICATE"]
    with Line(shared_demo) as box:
        box.send("".join(word + "\r\n" for word in words) + "z LOGOUT\r\n")
        lines = box.until("z")
    got = [line.split()[0] for line in lines if line[0].isalpha() and line.split()[1] == "OK"]
    assert got == [w.split()[0] for w in words if w != "DONE"] + ["z"]


def test_many_bytes_in_flight_come_back(shared_demo):
    """More than one socket holds lies between the client and the desk when it signs out."""
    with Line(shared_demo, "alice") as box:
        noops = "".join(f"n{i} NOOP {'x' * 900}\r\n" for i in range(20)) + "".join(f"p{i} NOOP\r\n" for i in range(12000))
        box.send("u UNAUTHENTICATE\r\n")
        box.send(noops + f"l LOGIN bob {PASSWORD}\r\n")
        lines = [line.split()[:2] for line in box.until("l")]
    assert lines[0] == ["u", "OK"] and lines[-1] == ["l", "OK"]
    assert [line for line in lines if line[0].startswith("n")] == [[f"n{i}", "BAD"] for i in range(20)]
    assert [line for line in lines if line[0].startswith("p")] == [[f"p{i}", "OK"] for i in range(12000)]


@pytest.mark.sanitized
@pytest.mark.parametrize("flush, split", [(zlib.Z_SYNC_FLUSH, 0), (zlib.Z_SYNC_FLUSH, 3), (zlib.Z_FULL_FLUSH, 0), (zlib.Z_FINISH, 0)])
def test_compression_ends_with_it(shared_demo, flush, split):
    """§4.1: what follows the answer, and the command, is plain; also when it is on its way already, and when the last bytes of the
    compressed part come late."""
    s = socket.create_connection(("127.0.0.1", shared_demo.port(IMAP)), timeout=60)
    file = Bytes(s)
    file.readline()
    s.sendall(f"a LOGIN alice {PASSWORD}\r\nb COMPRESS DEFLATE\r\n".encode())
    assert file.readline().startswith(b"a OK") and file.readline().startswith(b"b OK")
    packer, unpacker = zlib.compressobj(9, zlib.DEFLATED, -15), zlib.decompressobj(-15)
    s.sendall(packer.compress(b"c NOOP\r\n") + packer.flush(zlib.Z_SYNC_FLUSH))
    got = b""
    while b"c OK" not in got:
        got += unpacker.decompress(s.recv(65536))
    last = packer.compress(b"d UNAUTHENTICATE\r\n") + packer.flush(flush)
    plain = f"e LOGIN bob {PASSWORD}\r\nf NOOP\r\n".encode()
    if split:
        s.sendall(last[:-split])
        assert file.ready(60)  # (it is answered before they come)
        s.sendall(last[-split:] + plain)
    else:
        s.sendall(last + plain)
    raw = b""
    while b"f OK" not in raw:
        piece = s.recv(65536)
        assert piece, raw
        raw += piece
    assert b"e OK" in raw and b"d OK" in unpacker.decompress(raw[:raw.index(b"e OK")])
    s.close()


def test_signing_out_and_leaving_at_once(shared_demo):
    """Nothing is left of a client that goes in the middle of it."""
    for _ in range(10):
        box = Line(shared_demo, "alice")
        box.send("u UNAUTHENTICATE\r\n")
        box.close()
    with Line(shared_demo, "alice") as box:
        box.ok("NOOP")
