"""An authoritative DNS server (NSD) with local zones on loopback."""
import pathlib
import shutil
import subprocess

from .net import free_port, wait_for_port


def available():
    return shutil.which("nsd") is not None


class Nsd:
    def __init__(self, folder, zones):
        """zones: {"a.test": "zone file text without SOA and NS"}"""
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.zones = dict(zones)
        self.port = free_port()

    def write(self):
        lines = ["server:", f"  ip-address: 127.0.0.1@{self.port}", '  username: ""', f'  zonesdir: "{self.folder}"',
                 f'  pidfile: "{self.folder}/nsd.pid"', f'  xfrdfile: "{self.folder}/xfrd.state"', f'  zonelistfile: "{self.folder}/zone.list"',
                 f'  xfrdir: "{self.folder}"', '  database: ""', "  server-count: 1", '  chroot: ""', "remote-control:", "  control-enable: no"]
        for name, text in self.zones.items():
            path = self.folder / f"{name}.zone"
            path.write_text(f"$ORIGIN {name}.\n$TTL 60\n@ SOA ns.{name}. hostmaster.{name}. 1 3600 600 86400 5\n@ NS ns.{name}.\nns A 127.0.0.1\n{text}\n")
            lines += ["zone:", f'  name: "{name}"', f'  zonefile: "{path}"']
        (self.folder / "nsd.conf").write_text("\n".join(lines) + "\n")

    def start(self):
        self.write()
        self.log = open(self.folder / "nsd.log", "ab")
        self.process = subprocess.Popen(["/usr/sbin/nsd", "-d", "-c", str(self.folder / "nsd.conf")], stdout=self.log, stderr=self.log)
        wait_for_port(self.port)
        return self

    def stop(self):
        self.process.terminate()
        self.process.wait(10)
        self.log.close()

    def stubs(self):
        """The [dns] setting that sends questions for these zones here."""
        return " ".join(f"{name}=127.0.0.1@{self.port}" for name in self.zones)

    __enter__ = start

    def __exit__(self, *exc):
        self.stop()
