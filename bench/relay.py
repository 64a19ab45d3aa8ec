"""Mail from smtp-source through Posthouse (--plain, no DKIM) and Debian's Postfix in one run to smtp-sink, which stands for another server: messages/s
until the last has arrived there, and CPU milliseconds per message of each server. Both make a message durable before the 250; both let
127.0.0.1 relay."""
import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import threading

import smtp as mailbox_bench
from harness import house as hh, postfix
from harness.net import free_port, wait_for_port

TARGET = "sink.test"


class Sink:
    """smtp-sink, which counts what it takes on its standard output."""

    def __init__(self, folder):
        self.port = free_port()
        self.output = open(folder / f"sink{self.port}", "w+b")
        self.process = subprocess.Popen([str(postfix.ROOT / "usr/sbin/smtp-sink"), "-c", "-u", "news", f"127.0.0.1:{self.port}", "500"],
                                        env=postfix.environment(), stdout=self.output, stderr=subprocess.DEVNULL)
        wait_for_port(self.port)

    def taken(self):
        size = os.fstat(self.output.fileno()).st_size
        tail = os.pread(self.output.fileno(), 300, max(0, size - 300))
        found = re.findall(rb"mesg=(\d+)", tail)
        return int(found[-1]) if found else 0

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.output.close()


class PosthouseRelay:
    name, domain = "posthouse", TARGET

    def __init__(self, folder):
        self.sink = Sink(folder)
        config = (f"[route {TARGET}]\nhost = 127.0.0.1\nport = {self.sink.port}\n"
                  "[submitter bench]\nnetworks = 127.0.0.1\nsenders = @elsewhere.test\nmessages_per_hour = 0\nmessages_per_day = 0\n"
                  "recipients_per_hour = 0\nrecipients_per_day = 0\n")
        self.house = hh.Served(folder / "posthouse", "mx.relay.test", config=config, test_clock=False, plain=True).start()
        self.port = self.house.port(hh.SMTP)
        self.pids = sorted({self.house.process.pid, *self.house.pids().values()})

    cpu = mailbox_bench.PosthouseUnder.cpu

    def delivered(self):
        return self.sink.taken()

    def stop(self):
        self.house.stop()
        self.sink.stop()


class PostfixRelay:
    name, domain = "postfix", TARGET

    def __init__(self, folder):
        self.sink = Sink(folder)
        self.port = free_port()
        self.server = postfix.Postfix(folder / "pf", self.port, main_cf={
            "mynetworks": "127.0.0.0/8", "relayhost": f"[127.0.0.1]:{self.sink.port}", "smtpd_relay_restrictions": "permit_mynetworks, reject",
            "smtpd_recipient_restrictions": "permit_mynetworks, reject", "default_process_limit": "100",
            "smtpd_client_connection_rate_limit": "0", "default_destination_concurrency_limit": "50",
        }).start()

    cpu = mailbox_bench.PostfixUnder.cpu
    delivered = PosthouseRelay.delivered

    def stop(self):
        self.server.stop()
        self.sink.stop()


def load(port, domain, sessions, messages, size):
    source = str(postfix.ROOT / "usr/sbin/smtp-source")
    each = messages // sessions

    def chain(n):
        subprocess.run([source, "-d", "-s", "1", "-m", str(each), "-l", str(size), "-f", "load@elsewhere.test", "-t", f"u{n}@{domain}",
                        f"inet:127.0.0.1:{port}"], env=postfix.environment(), check=True)
    threads = [threading.Thread(target=chain, args=(n,)) for n in range(sessions)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return each * sessions


def measure(server, sessions, messages, size):
    return mailbox_bench.measure(server, sessions, messages, size, load, 0.02)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--messages", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    if not postfix.available():
        raise SystemExit("bench/relay needs root and the unpacked Postfix (script/bootstrap test)")
    folder = hh.scratch("bench")
    folder.chmod(0o755)
    servers = []
    try:
        for kind in (PosthouseRelay, PostfixRelay):
            if not options.only or options.only == kind.name:
                servers.append(kind(folder))
        for server in servers:
            measure(server, 10, 500, 1000)  # warm
        for sessions in (10, 50):
            rows = []
            for _ in range(options.rounds):
                for server in servers:
                    rows.append(measure(server, sessions, options.messages, 1000))
                    if options.json:
                        print(json.dumps(rows[-1]), flush=True)
            line = f"1 KB, {sessions:>2} sessions"
            cells = []
            for server in servers:
                mine = [r for r in rows if r["server"] == server.name]
                cells.append((statistics.median(r["per_second"] for r in mine), statistics.median(r["cpu_ms"] for r in mine)))
                line += f" | {server.name} {cells[-1][0]:>6.0f}/s {cells[-1][1]:.3f} ms CPU"
            if len(cells) == 2:
                line += f" | rate {cells[0][0] / cells[1][0]:.2f}x, CPU {cells[0][1] / cells[1][1]:.2f}x"
            print(line, flush=True)
    finally:
        for server in servers:
            server.stop()
        hh.remove(folder)


if __name__ == "__main__":
    sys.exit(main())
