"""Mailbox work: Posthouse (--plain) and Debian's Dovecot (Maildir and sdbox) in one run, with the same real messages. Prints wall and server
CPU of each piece of work, and the ratios to the better Dovecot format with what they shall be. Of Dovecot the imap process
alone is measured, over pipes; for POP3 and sign-ins it is all of Dovecot behind its ports, which wants root: as it is packaged, and for
sign-ins also with processes that are kept for the next connection. Passwords are
remembered on both sides. Behind the client's back: what each message costs in the seconds after it came, the search index above all.

    bench/imap.py FOLDER-OF-MESSAGES [--messages 5000] [--json]"""
import argparse
import json
import pathlib
import socket
import ssl
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "test"))
from harness import dovecot, house as hh  # noqa: E402
from harness.imap import Session  # noqa: E402

# What is measured, and the largest ratio to Dovecot that is well.
WANTED = {"APPEND": 0.5, "behind the client's back": None, "SELECT": 1, "FETCH FLAGS": 1, "ENVELOPE+BODYSTRUCTURE first": 0.5, "ENVELOPE+BODYSTRUCTURE again": 1, "BODY[]": 1,
          "SEARCH SUBJECT": 1, "SEARCH TEXT": 0.05, "SEARCH TEXT of two characters": 1, "STORE one flag": 0.5, "STORE all": 1,
          "COPY 1000": 0.5, "THREAD REFERENCES": 0.5, "EXPUNGE 500": 1, "POP3 RETR": 1,
          "POP3 RETR under TLS": 1, "LOGIN+SELECT+LOGOUT": 0.3, "LOGIN+SELECT+LOGOUT, processes kept": None}
SIGN_INS = 200
SIGN_INS_ROWS = ["LOGIN+SELECT+LOGOUT", "LOGIN+SELECT+LOGOUT, processes kept"]
# So long after the last message its index is made (limits.search_delay_ms), and it is ready.
INDEXED_S = 45


class Clear(Session):
    """An IMAP session in the clear, signed in."""

    def __init__(self, address, port):
        self.socket = socket.create_connection((address, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb", buffering=1 << 20)
        self.write = self.socket.sendall
        self.begin()
        self.ok(f"LOGIN alice {hh.PASSWORD}")

    def close(self):
        self.file.close()
        self.socket.close()


def retriever(address, port, tls):
    """A POP3 session, signed in."""
    s = socket.create_connection((address, port))
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        s = context.wrap_socket(s)
    r = Retriever(s.makefile("rb", buffering=1 << 20), s.sendall)
    assert r.file.readline().startswith(b"+OK")
    r.ask("USER alice")
    r.ask(f"PASS {hh.PASSWORD}")
    return r


class PosthouseUnder:
    name = "posthouse"

    def __init__(self, folder):
        self.house = hh.Demo(folder / "posthouse", plain=True).start()
        self.pids = sorted({self.house.process.pid, *self.house.pids().values()})

    def cpu_ms(self):
        return cpu_ms(self.pids)

    def session(self):
        return Clear(self.house.address, self.house.port(hh.IMAP))

    def pop3(self, tls):
        return retriever(self.house.address, self.house.port(hh.POP3S if tls else hh.POP3), tls)

    def behind_ports(self, m, n):
        measure_sign_ins(m, self, SIGN_INS_ROWS)
        measure_pop3(m, self, n)

    def stop(self):
        self.house.stop()


class DovecotUnder:
    def __init__(self, folder, form):
        self.name = f"dovecot {form}"
        self.folder, self.form, self.n = folder / form, form, 0
        self.first = dovecot.Dovecot(self.folder, form)
        self.pids = [self.first.process.pid]

    def cpu_ms(self):
        return cpu_ms(self.pids)

    def session(self):
        return self.first

    def behind_ports(self, m, n):
        self.first.close()
        if not dovecot.whole_available():
            return
        for row, quick in zip(SIGN_INS_ROWS, (False, True)):
            whole = WholeUnder(dovecot.Whole(self.folder.parent / f"whole-{self.form}{'-quick' * quick}", self.form, self.folder, hh.PASSWORD, quick))
            try:
                measure_sign_ins(Meter(whole, m.rows), whole, [row])
                measure_pop3(Meter(whole, m.rows), whole, n)
            finally:
                whole.stop()

    def stop(self):
        pass


class WholeUnder:
    def __init__(self, whole):
        self.whole, self.cpu_ms, self.stop = whole, whole.cpu_ms, whole.close

    def session(self):
        return Clear("127.0.0.1", self.whole.ports["imap"])

    def pop3(self, tls):
        return retriever("127.0.0.1", self.whole.ports["pop3s" if tls else "pop3"], tls)


class Retriever:
    """A POP3 session that takes every message."""

    def __init__(self, file, write):
        self.file, self.write = file, write

    def ask(self, command):
        self.write(command.encode() + b"\r\n")
        line = self.file.readline()
        assert line.startswith(b"+OK"), line
        return line

    def retrieve(self):
        for i in range(1, int(self.ask("STAT").split()[1]) + 1):
            self.ask(f"RETR {i}")
            while self.file.readline() != b".\r\n":
                pass


def cpu_ms(pids):
    total = 0
    for pid in pids:
        # schedstat counts nanoseconds; stat only ticks.
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
    return total / 1e6


class Meter:
    def __init__(self, under, rows=None):
        self.under, self.rows = under, {} if rows is None else rows

    def __call__(self, what, work, times=1, after_s=0):
        cpu, wall = self.under.cpu_ms(), time.perf_counter()
        work()
        wall = (time.perf_counter() - wall) * 1000
        time.sleep(after_s)
        self.rows[what] = (wall / times, (self.under.cpu_ms() - cpu) / times)


def drain(session, command):
    """The command's response without looking into it: the client shall not be what is measured."""
    session.count += 1
    tag = f"x{session.count}".encode()
    session.send(tag + b" " + command.encode() + b"\r\n")
    end, tail = b"\r\n" + tag + b" OK", b"\r\n"
    while True:
        part = session.file.read1(1 << 20)
        assert part, "the connection ended"
        tail = tail[-300:] + part
        at = tail.find(end)
        if at >= 0 and tail.endswith(b"\r\n"):
            return
        assert b"\r\n" + tag + b" BAD" not in tail and b"\r\n" + tag + b" NO" not in tail, tail[-300:]


def measure_sign_ins(m, under, rows):
    def sign_ins():
        for _ in range(SIGN_INS):
            one = under.session()
            drain(one, "SELECT INBOX")
            one.ok("LOGOUT")
            one.close()
    sign_ins()
    for row in rows:
        m(row, sign_ins, SIGN_INS, after_s=0.5)


def measure_pop3(m, under, n):
    for row, tls in (("POP3 RETR", False), ("POP3 RETR under TLS", True)):
        r = under.pop3(tls)
        m(row, r.retrieve, n)
        r.ask("QUIT")


def work(under, messages):
    m, s = Meter(under), under.session()
    n = len(messages)

    def append():
        for message in messages:
            s.append("INBOX", message)
    m("APPEND", append, n)
    s.ok("CREATE other")
    m("behind the client's back", lambda: time.sleep(INDEXED_S), n)
    m("SELECT", lambda: drain(s, "SELECT INBOX"))
    m("ENVELOPE+BODYSTRUCTURE first", lambda: drain(s, "FETCH 1:* (ENVELOPE BODYSTRUCTURE)"))
    m("ENVELOPE+BODYSTRUCTURE again", lambda: drain(s, "FETCH 1:* (ENVELOPE BODYSTRUCTURE)"))
    m("FETCH FLAGS", lambda: drain(s, "FETCH 1:* (UID FLAGS)"))
    m("BODY[]", lambda: drain(s, "FETCH 1:* BODY.PEEK[]"))
    m("SEARCH SUBJECT", lambda: drain(s, "SEARCH SUBJECT linux"))
    m("SEARCH TEXT", lambda: drain(s, "SEARCH TEXT keyboard"))
    m("SEARCH TEXT of two characters", lambda: drain(s, "SEARCH TEXT zq"))
    m("THREAD REFERENCES", lambda: drain(s, "THREAD REFERENCES UTF-8 ALL"))

    def flag():
        for i in range(1, 301):
            drain(s, f"STORE {i} +FLAGS.SILENT (\\Flagged)")
    m("STORE one flag", flag, 300)
    m("STORE all", lambda: drain(s, "STORE 1:* +FLAGS.SILENT (\\Answered)"))
    m("COPY 1000", lambda: drain(s, f"COPY 1:{min(n, 1000)} other"))
    drain(s, "STORE 1:500 +FLAGS.SILENT (\\Deleted)")
    m("EXPUNGE 500", lambda: drain(s, "EXPUNGE"))
    drain(s, "CLOSE")
    under.behind_ports(m, n - 500)
    return m.rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("messages_folder", type=pathlib.Path)
    parser.add_argument("--messages", type=int, default=5000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    files = sorted(p for p in options.messages_folder.rglob("*") if p.is_file())[:options.messages]
    messages = [p.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") for p in files]
    results = {}
    with tempfile.TemporaryDirectory(prefix="bench-imap-") as folder:
        folder = pathlib.Path(folder)
        folder.chmod(0o755)
        makers = [lambda: PosthouseUnder(folder)]
        if dovecot.available():
            makers += [lambda form=form: DovecotUnder(folder, form) for form in ("maildir", "sdbox")]
        for make in makers:
            under = make()
            try:
                results[under.name] = work(under, messages)
            finally:
                under.stop()
    for what, wanted in WANTED.items():
        ours = results["posthouse"][what]
        theirs = [r[what] for name, r in results.items() if name != "posthouse" and what in r]
        row = {"what": what, "wall_ms": round(ours[0], 3), "cpu_ms": round(ours[1], 3)}
        if theirs:
            wall, cpu = min(t[0] for t in theirs), min(t[1] for t in theirs)
            row |= {"dovecot_wall_ms": round(wall, 3), "dovecot_cpu_ms": round(cpu, 3), "wall_ratio": round(ours[0] / wall, 3),
                    "cpu_ratio": round(ours[1] / max(cpu, 0.001), 3), "wanted": wanted}
        print(json.dumps(row) if options.json else "  ".join(f"{k}={v}" if k != "what" else f"{v:30}" for k, v in row.items()), flush=True)


if __name__ == "__main__":
    main()
