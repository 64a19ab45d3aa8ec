"""Knot DNS of Debian's package, unpacked (not installed) by script/bootstrap: an authoritative server on loopback that signs its zones
with DNSSEC by itself."""
import os
import pathlib
import re
import signal
import subprocess
import time

from .net import free_port, wait_for_port

TOP = pathlib.Path(__file__).resolve().parents[2]
ROOT = TOP / "build-peers" / "knot" / "root"


def available():
    return (ROOT / "usr/sbin/knotd").exists()


def environment():
    return {**os.environ, "LD_LIBRARY_PATH": str(ROOT / "usr/lib/x86_64-linux-gnu")}


class Knot:
    def __init__(self, folder, zones, unsigned=()):
        """zones: {"a.test": "zone file text without SOA and NS"}; all are signed but those in `unsigned`."""
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.zones = dict(zones)
        self.unsigned = set(unsigned)
        self.port = free_port()
        self.serial = 1

    def write_zone(self, name):
        self.serial += 1
        (self.folder / f"{name}.zone").write_text(
            f"$ORIGIN {name}.\n$TTL 1\n@ SOA ns.{name}. hostmaster.{name}. {self.serial} 3600 600 86400 1\n@ NS ns.{name}.\n"
            f"ns A 127.0.0.1\n{self.zones[name]}\n")

    def write(self):
        lines = ["server:", f"  listen: 127.0.0.1@{self.port}", f"  rundir: {self.folder}", "  background-workers: 1",
                 "  udp-workers: 1", "  tcp-workers: 1", "database:", f"  storage: {self.folder}/db",
                 "policy:", "  - id: quick", "    algorithm: ecdsap256sha256", "    nsec3: off", "    zone-max-ttl: 10",
                 "    dnskey-ttl: 10", "control:", f"  listen: {self.folder}/knot.sock", "log:", "  - target: stderr",
                 "    any: info", "zone:"]
        for name in self.zones:
            self.write_zone(name)
            lines += [f"  - domain: {name}", f"    file: {self.folder}/{name}.zone", "    zonefile-load: difference-no-serial",
                      "    zonefile-sync: -1", "    journal-content: all"]
            if name not in self.unsigned:
                lines += ["    dnssec-signing: on", "    dnssec-policy: quick"]
        (self.folder / "db").mkdir(exist_ok=True)
        (self.folder / "knot.conf").write_text("\n".join(lines) + "\n")

    def start(self):
        self.write()
        self.log = open(self.folder / "knot.log", "ab")
        self.process = subprocess.Popen([str(ROOT / "usr/sbin/knotd"), "-c", str(self.folder / "knot.conf")], env=environment(),
                                        stdout=self.log, stderr=self.log)
        try:
            wait_for_port(self.port)
            self.anchors = [self.anchor(name) for name in self.zones if name not in self.unsigned]
        except (TimeoutError, RuntimeError):
            self.stop()
            raise RuntimeError("Knot did not start:\n" + (self.folder / "knot.log").read_text())
        return self

    def control(self, *args):
        return subprocess.run([str(ROOT / "usr/sbin/knotc"), "-s", str(self.folder / "knot.sock"), "-b", *args], env=environment(),
                              capture_output=True, text=True, timeout=30)

    def anchor(self, name, seconds=20):
        """The zone's DS record in text form."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            done = subprocess.run([str(ROOT / "usr/sbin/keymgr"), "-c", str(self.folder / "knot.conf"), name, "ds"],
                                  env=environment(), capture_output=True, text=True, timeout=30)
            # "a.test. DS 12345 13 2 abc..."
            for line in done.stdout.splitlines():
                if re.search(r"DS \d+ 13 2 ", line):
                    return line.strip().replace(" DS ", " IN DS ")
            time.sleep(0.2)
        raise RuntimeError(f"no key for {name}: {done.stdout} {done.stderr}")

    def change(self, name, text):
        """Replaces the records of a zone; it is signed anew."""
        self.zones[name] = text
        self.write_zone(name)
        done = self.control("zone-reload", name)
        assert done.returncode == 0, done.stdout + done.stderr

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()

    def settings(self):
        """Lines of the section [dns] that send questions for these zones here, and trust their keys."""
        stubs = " ".join(f"{name}=127.0.0.1@{self.port}" for name in self.zones)
        return f"[dns]\nresolv_conf =\nstubs = {stubs}\ntrust_anchors = {', '.join(self.anchors)}\n"

    __enter__ = start

    def __exit__(self, *exc):
        self.stop()
