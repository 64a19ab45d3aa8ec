"""Mail from smtp-source to the mailbox: Posthouse (--plain) and Debian's Postfix (virtual, Maildir) in one run, on one file system, 50
accounts, a new connection state kept for many messages (-d). Prints messages/s and CPU milliseconds per message of each server, and the
ratios. Both make a message durable before the 250."""
import argparse
import json
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "test"))
from harness import house as hh, postfix  # noqa: E402
from harness.net import free_port, wait_until  # noqa: E402

USERS = [f"u{i}" for i in range(50)]


def load(port, domain, sessions, messages, size):
    """`sessions` chains of smtp-source; each chain goes through its share of the 50 accounts."""
    source = str(postfix.ROOT / "usr/sbin/smtp-source")
    each = messages // len(USERS)

    def chain(users):
        for user in users:
            subprocess.run([source, "-d", "-s", "1", "-m", str(each), "-l", str(size), "-f", "load@elsewhere.test", "-t", f"{user}@{domain}",
                            f"inet:127.0.0.1:{port}"], env=postfix.environment(), check=True)
    threads = [threading.Thread(target=chain, args=(USERS[n::sessions],)) for n in range(sessions)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return each * len(USERS)


def iter_answer(s):
    for line in s.makefile("rb"):
        answer = json.loads(line)
        if "row" not in answer:
            return
        yield answer["row"]


class PosthouseUnder:
    name, domain = "posthouse", "example.test"

    def __init__(self, folder):
        self.house = hh.Demo(folder / "posthouse", plain=True).start()
        for user in USERS:
            self.house.run("account", "add", f"{user}@{self.domain}", "--hash", "{PLAIN}" + hh.PASSWORD)
        self.port = self.house.port(25)
        self.pids = sorted({self.house.process.pid, *self.house.pids().values()})

    def cpu(self):
        total = 0
        for pid in self.pids:
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
        return total / os.sysconf("SC_CLK_TCK")

    def delivered(self):
        # Straight to the control socket: a command's start would cost more than the answer.
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(str(self.house.data / "run" / "control"))
            s.sendall(b'{"command":"status","args":{}}\n')
            rows = list(iter_answer(s))
        return sum(row["counters"]["deliveries"] for row in rows if row.get("role") == "desk")

    def mailboxes(self):
        total = 0
        for user in USERS:
            box = self.house.imap(user)
            total += int(box.select(readonly=True)[1][0])
            box.logout()
        return total

    def stop(self):
        self.house.stop()


class PostfixUnder:
    name, domain = "postfix", "pf.test"

    def __init__(self, folder):
        self.folder = folder / "postfix"
        self.folder.mkdir()
        maps = self.folder / "users"
        maps.write_text("".join(f"{user}@{self.domain} {user}/\n" for user in USERS))
        self.port = free_port()
        self.server = postfix.Postfix(self.folder / "pf", self.port, main_cf={
            "virtual_mailbox_domains": self.domain, "virtual_mailbox_maps": f"texthash:{maps}",
            "smtpd_client_connection_rate_limit": "0", "default_process_limit": "100",
        }).start()
        self.boxes = [self.folder / "pf" / "mail" / user / "new" for user in USERS]

    def cpu(self):
        return self.server.cpu_seconds()

    def delivered(self):
        return sum(len(os.listdir(box)) for box in self.boxes if box.exists())

    mailboxes = delivered

    def stop(self):
        self.server.stop()


def measure(server, sessions, messages, size, load=load, step=0.04):
    """`load` sends through the server; its delivered() tells what has arrived, asked every `step` seconds."""
    before, cpu = server.delivered(), server.cpu()
    start = time.monotonic()
    sent = load(server.port, server.domain, sessions, messages, size)
    wait_until(lambda: server.delivered() >= before + sent, 120, "the last delivery", step=step)
    seconds = time.monotonic() - start
    # What trails behind (removal of queue rows, closing of files) belongs to the message too.
    time.sleep(1.5)
    return {"server": server.name, "sessions": sessions, "bytes": size, "messages": sent, "per_second": round(sent / seconds, 1),
            "cpu_ms": round((server.cpu() - cpu) * 1000 / sent, 3)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--messages", type=int, default=10000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    if not postfix.available():
        raise SystemExit("bench/smtp needs root and the unpacked Postfix (script/bootstrap test)")
    folder = hh.scratch("bench")
    servers = []
    try:
        for kind in (PosthouseUnder, PostfixUnder):
            if not options.only or options.only == kind.name:
                servers.append(kind(folder))
        for server in servers:
            measure(server, 10, 500, 1000)  # warm
        rows = []
        for size in (1000, 10000):
            for sessions in (1, 10, 50):
                for _ in range(options.rounds):
                    for server in servers:
                        rows.append(measure(server, sessions, options.messages if sessions > 1 else options.messages // 3, size))
                        if options.json:
                            print(json.dumps(rows[-1]), flush=True)
        print(f"{'size':>6} {'sessions':>8} | " + " | ".join(f"{s.name + ' msg/s':>16} {'CPU ms':>8}" for s in servers) + " | rate ratio  CPU ratio")
        for size in (1000, 10000):
            for sessions in (1, 10, 50):
                cells = []
                for server in servers:
                    mine = [r for r in rows if (r["server"], r["sessions"], r["bytes"]) == (server.name, sessions, size)]
                    cells.append((statistics.median(r["per_second"] for r in mine), statistics.median(r["cpu_ms"] for r in mine)))
                line = f"{size:>6} {sessions:>8} | " + " | ".join(f"{c[0]:>16.0f} {c[1]:>8.3f}" for c in cells)
                if len(cells) == 2:
                    line += f" | {cells[0][0] / cells[1][0]:>9.2f}x {cells[0][1] / cells[1][1]:>9.2f}x"
                print(line)
        for server in servers:
            total = sum(r["messages"] for r in rows if r["server"] == server.name)
            print(f"{server.name}: {server.mailboxes()} messages in the mailboxes, {total} sent and 500 to warm up")
    finally:
        for server in servers:
            server.stop()
        hh.remove(folder)


if __name__ == "__main__":
    main()
