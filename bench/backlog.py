"""A queue full of mail for dead servers: fills it with a bulk run of an account (1,000 recipients a message), half of the sites refuse
connections and half take them and never say a word, then another account writes to a server that lives. Prints the memory of clerk and
couriers (the most seen) and how long the fresh messages took from their 250 to the other server, while the queue was filled
and with it full."""
import argparse
import json
import pathlib
import socket
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "test"))
from harness import house as hh, nsd  # noqa: E402
from harness.net import free_port, wait_until  # noqa: E402
from harness.sink import Sink  # noqa: E402

EACH = 1000


def submission(house, user):
    s = house.smtp(hh.SUBMISSIONS)
    s.login(user, hh.PASSWORD)
    return s


def bulk(house, first, messages, domains, sites):
    """Raw and pipelined: smtplib waits for each reply."""
    s = submission(house, "bulk@here.test")
    replies = s.sock.makefile("rb")
    for m in range(first, first + messages):
        lines = ["MAIL FROM:<bulk@here.test>"]
        for i in range(EACH):
            n = m * EACH + i
            lines.append(f"RCPT TO:<r{n}@d{n % domains}.s{n % sites}.dead.test>")
        s.sock.sendall(("\r\n".join(lines) + "\r\n").encode())
        refused = sum(not replies.readline().startswith(b"250") for _ in lines)
        s.sock.sendall(b"DATA\r\n")
        assert replies.readline().startswith(b"354"), refused
        s.sock.sendall(b"From: bulk@here.test\r\nSubject: a newsletter\r\nList-Unsubscribe: <mailto:bulk@here.test>\r\n\r\nNews.\r\n.\r\n")
        line = replies.readline()
        assert line.startswith(b"250"), line


def rss(pids):
    total = 0
    for pid in pids:
        for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                total += int(line.split()[1])
    return total / 1024


class Watch(threading.Thread):
    """The most memory that clerk and couriers had together."""

    def __init__(self, pids):
        super().__init__(daemon=True)
        self.pids, self.most, self.ended = pids, 0.0, False

    def run(self):
        while not self.ended:
            self.most = max(self.most, rss(self.pids))
            time.sleep(0.2)


def fresh(house, sink, n):
    """Seconds from the 250 of a message for a live server until that server has it."""
    with submission(house, "ann@here.test") as s:
        before = len(sink.messages)
        s.sendmail("ann@here.test", ["you@live.test"], f"Subject: fresh {n}\r\n\r\nhello\r\n")
        taken = time.monotonic()
        wait_until(lambda: len(sink.messages) > before, 60, "the fresh message", step=0.002)
        return time.monotonic() - taken


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--recipients", type=int, default=1000000)
    p.add_argument("--domains", type=int, default=20000)
    p.add_argument("--sites", type=int, default=2000)
    p.add_argument("--sessions", type=int, default=2, help="that fill the queue")
    p.add_argument("--watch", type=int, default=30, help="seconds to look at the full queue")
    a = p.parse_args()
    path = hh.scratch("bench-queue")
    port = free_port()
    silent = socket.create_server(("127.0.0.8", port), backlog=1024)  # nobody accepts
    sink = Sink("127.0.0.7", port)
    zone = "\n".join(f"*.s{i} MX 10 mx{i}\nmx{i} A 127.{'0.0.8' if i % 2 else f'1.{i // 250}.{i % 250 + 1}'}" for i in range(a.sites))
    zones = {"dead.test": zone, "live.test": "@ MX 10 mx\nmx A 127.0.0.7"}
    with nsd.Nsd(path / "nsd", zones) as dns:
        config = f"[dns]\nstubs = {dns.stubs()}\nresolv_conf =\n[send]\nport = {port}\n"
        house = hh.Served(path / "house", "mx.here.test", "127.0.0.1", {}, config, test_clock=False, plain=True)
        with house:
            house.domain("here.test", "bulk", "ann")
            pids = [pid for (role, _), pid in house.pids().items() if role in ("clerk", "courier")]
            watch = Watch(pids)
            watch.start()
            each = a.recipients // EACH // a.sessions
            start = time.monotonic()
            fillers = [threading.Thread(target=bulk, args=(house, i * each, each, a.domains, a.sites)) for i in range(a.sessions)]
            for t in fillers:
                t.start()
            while_filling = []
            while any(t.is_alive() for t in fillers):
                while_filling.append(fresh(house, sink, len(while_filling)))
                time.sleep(1)
            filled = time.monotonic() - start
            when_full, end = [], time.monotonic() + a.watch
            while time.monotonic() < end:
                when_full.append(fresh(house, sink, len(when_full)))
                time.sleep(1)
            queue = next(row for row in house.rows("status") if row["role"] == "clerk")["counters"]["queue"]
            watch.ended = True
            print(json.dumps({"recipients": a.recipients, "waiting": queue["recipients_waiting"], "filled_s": round(filled, 1),
                              "rss_mb_most": round(watch.most, 1), "rss_mb_now": round(rss(pids), 1),
                              "fresh_s_while_filling": [round(x, 3) for x in while_filling[-30:]],
                              "fresh_s_full": [round(x, 3) for x in when_full], "fresh_s_most": round(max(while_filling + when_full), 3)}))
    silent.close()
    sink.close()
    hh.remove(path)


if __name__ == "__main__":
    main()
