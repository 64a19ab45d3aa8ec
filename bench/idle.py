"""Many sessions that wait: N IMAP sessions over TLS in IDLE, in accounts of a few sessions each and one account of many. Tells what
memory each costs (PSS of all processes over the house with its accounts, and of porch and desk alone), and how long after the 250 of
port 25 the last session of an account has been told of a new message. Password hashes are cheap here, so that
thousands can sign in soon. Clients come from many addresses of the loopback network."""
import argparse
import concurrent.futures
import json
import pathlib
import resource
import select
import socket
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "test"))
from harness import house as hh  # noqa: E402
from memory import control, pss_kb, show  # noqa: E402

SOURCES = 100


class Client:
    """One session. Everything it sends before IDLE is answered within sign_in()."""

    def __init__(self, house, context, number, account):
        raw = socket.create_connection((house.address, house.port(hh.IMAPS)), timeout=300,
                                       source_address=(f"127.0.1.{1 + number % SOURCES}", 0))
        self.socket = context.wrap_socket(raw)
        self.account = account
        self.told = 0.0

    def talk(self, line, until):
        if line:
            self.socket.sendall(line + b"\r\n")
        got = b""
        while until not in got:
            piece = self.socket.recv(4096)
            assert piece, got
            got += piece

    def sign_in(self):
        self.talk(b"", b"\r\n")
        self.talk(b"a LOGIN m%d@example.test %s" % (self.account, hh.PASSWORD.encode()), b"a OK")
        self.talk(b"b SELECT INBOX", b"b OK")
        self.talk(b"c IDLE", b"+ ")
        self.socket.setblocking(False)


def porches(n):
    """How many porches such sessions need: each has two descriptors there, and one here and in the desk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return -(-(2 * n + 500) // hard)


def notify(house, poll, by_fd, account, rounds):
    """Milliseconds from the 250 to the first and the last session of the account, for each of some messages."""
    members = {fd for fd, c in by_fd.items() if c.account == account}
    times = []
    with house.smtp() as smtp:
        smtp.ehlo()
        for i in range(rounds):
            smtp.mail("s@elsewhere.test")
            smtp.rcpt(f"m{account}@example.test")
            smtp.docmd("DATA")
            smtp.send(f"From: s@elsewhere.test\r\nSubject: {i}\r\n\r\nhello\r\n.\r\n")
            assert smtp.getreply()[0] == 250
            begin, waiting, first = time.monotonic(), set(members), 0.0
            while waiting:
                events = poll.poll(30)
                assert events, f"{len(waiting)} of {len(members)} sessions were not told"
                for fd, _ in events:
                    data = by_fd[fd].socket.recv(4096)
                    assert data, "a session has ended"
                    if fd in waiting and b" EXISTS" in data:
                        waiting.remove(fd)
                        first = first or time.monotonic() - begin
            times.append((first * 1000, (time.monotonic() - begin) * 1000))
            time.sleep(0.2)
    return times


def tell(title, times):
    lasts = sorted(last for _, last in times)
    print(f"{title}: first told after {sorted(f for f, _ in times)[len(times) // 2]:.1f} ms, last after {lasts[len(lasts) // 2]:.1f} ms "
          f"(median of {len(times)}), worst {lasts[-1]:.1f} ms", flush=True)
    return lasts[-1]


def layout(options):
    """Which account each session signs in to: the first one is the crowded one."""
    rest = options.sessions - options.crowd
    return [0] * options.crowd + [1 + i // options.per_account for i in range(rest)]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--sessions", type=int, default=10000)
    parser.add_argument("--per-account", type=int, default=5)
    parser.add_argument("--crowd", type=int, default=100, help="sessions of the one crowded account")
    parser.add_argument("--rounds", type=int, default=20, help="messages whose way is timed, to each of two accounts")
    parser.add_argument("--binding", action="store_true", help="fail where a session costs over 35 KB or is told after 100 ms")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    accounts = layout(options)
    folder = hh.scratch("idle")
    house = hh.Served(folder / "house", "mail.example.test", test_clock=False,
                      house_config=f"porches = {porches(options.sessions)}",
                      config="[limits]\nargon2_memory_kib = 1024\nargon2_passes = 1\n").start()
    try:
        house.run("domain", "add", "example.test")
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda i: control(house, "account add", address=f"m{i}@example.test", hash="{PLAIN}" + hh.PASSWORD),
                          range(accounts[-1] + 1)))
        time.sleep(3)
        before = pss_kb(house)
        show(f"{accounts[-1] + 1} accounts", before)
        context = hh.tls_context()

        def enter(i):
            c = Client(house, context, i, accounts[i])
            c.sign_in()
            return c
        begin = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            clients = list(pool.map(enter, range(options.sessions)))
        print(f"{len(clients)} sessions in IDLE after {time.monotonic() - begin:.0f} s", flush=True)
        poll = select.epoll()
        by_fd = {c.socket.fileno(): c for c in clients}
        for fd in by_fd:
            poll.register(fd, select.EPOLLIN)
        time.sleep(5)
        after = pss_kb(house)
        show(f"{len(clients)} idle sessions", after)
        both = sum(after[k] - before[k] for k in after if k[0] in ("porch", "desk")) / len(clients)
        whole = (sum(after.values()) - sum(before.values())) / len(clients)
        print(f"{both:.1f} KB a session in porch and desk, {whole:.1f} KB in all processes", flush=True)
        worst = max(tell(f"an account of {options.crowd} sessions", notify(house, poll, by_fd, 0, options.rounds)),
                    tell(f"an account of {options.per_account} sessions", notify(house, poll, by_fd, accounts[-1], options.rounds)))
        if options.json:
            print(json.dumps({"sessions": len(clients), "kb_each": round(both, 1), "kb_each_all": round(whole, 1), "worst_ms": round(worst, 1)}))
        if options.binding:
            assert whole <= 35 and worst <= 100
    finally:
        house.kill()
        hh.remove(folder)


if __name__ == "__main__":
    main()
