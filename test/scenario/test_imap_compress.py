"""COMPRESS=DEFLATE (RFC 4978)."""
import socket
import zlib

import pytest

from harness.house import IMAP


class Raw:
    """A client by hand: lines, in the clear or compressed."""

    def __init__(self, house, user="alice"):
        self.s = socket.create_connection(("127.0.0.1", house.port(IMAP)), timeout=30)
        self.inflate = self.deflate = None
        self.got = b""
        self.line()
        self.command(f"login {user} demo-password")

    def send(self, data):
        if self.deflate is not None:
            data = self.deflate.compress(data) + self.deflate.flush(zlib.Z_SYNC_FLUSH)
        self.s.sendall(data)

    def line(self):
        while b"\r\n" not in self.got:
            data = self.s.recv(65536)
            if not data:
                raise EOFError(self.got)
            self.got += self.inflate.decompress(data) if self.inflate is not None else data
        line, _, self.got = self.got.partition(b"\r\n")
        return line

    def command(self, text):
        """The lines of the answer, the tagged one last."""
        self.send(b"t " + text.encode() + b"\r\n")
        lines = [self.line()]
        while not lines[-1].startswith(b"t "):
            lines.append(self.line())
        return lines

    def compress(self):
        assert self.command("COMPRESS DEFLATE")[-1].startswith(b"t OK")
        assert self.got == b""
        self.inflate, self.deflate = zlib.decompressobj(-15), zlib.compressobj(9, zlib.DEFLATED, -15)
        return self


@pytest.mark.sanitized
def test_session_goes_on_compressed(shared_demo):
    house = shared_demo
    box = Raw(house)
    assert b"COMPRESS=DEFLATE" in b" ".join(box.command("CAPABILITY"))
    assert box.command("COMPRESS LZMA")[-1].startswith(b"t NO")
    box.compress()
    assert b"[COMPRESSIONACTIVE]" in box.command("COMPRESS DEFLATE")[-1]
    text = b"Subject: squeezed\r\n\r\n" + b"the same words again and again\r\n" * 4000
    box.send(b"t APPEND INBOX {%d}\r\n" % len(text))
    assert box.line().startswith(b"+")
    box.send(text + b"\r\n")
    assert box.line().startswith(b"t OK")
    box.command("SELECT INBOX")
    lines = box.command("FETCH * (BODY.PEEK[])")
    assert lines.count(b"the same words again and again") == 4000
    # IDLE: news come compressed too, and after a pause.
    box.send(b"t IDLE\r\n")
    assert box.line().startswith(b"+")
    house.send("s@elsewhere.test", "alice@example.test", b"Subject: news\r\n\r\nhi\r\n")
    while not box.line().endswith(b"EXISTS"):
        pass
    box.send(b"DONE\r\n")
    while not box.line().startswith(b"t OK"):
        pass
    assert box.command("LOGOUT")[-1].startswith(b"t OK")


@pytest.mark.sanitized
def test_hostile_compression(shared_demo):
    house = shared_demo
    # A command behind COMPRESS, sent before its answer, is not taken for a compressed one.
    box = Raw(house)
    box.s.sendall(b"t COMPRESS DEFLATE\r\nt NOOP\r\n")
    assert box.line().startswith(b"t BAD")
    assert box.line().startswith(b"t OK")
    # Noise ends that session only.
    box.compress()
    box.s.sendall(b"\xff\xfe\xfd" * 100)
    with pytest.raises((EOFError, ConnectionError)):
        while True:
            box.line()
    # 20 MB of zeros in 20 KB: a line over its limit.
    box = Raw(house).compress()
    try:
        box.send(b"\0" * (20 << 20) + b"\r\n")
        answer = box.line()
    except (ConnectionError, EOFError):
        answer = b""
    assert answer == b"" or b"BAD" in answer or b"BYE" in answer
    assert Raw(house).compress().command("NOOP")[-1].startswith(b"t OK")
