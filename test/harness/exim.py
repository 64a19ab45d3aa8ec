"""An Exim of Debian's package, unpacked (not installed) by script/bootstrap, as a client, which takes messages on its standard input
and carries them to one port of loopback, and as a server. It needs root: its user is looked up by name, in a passwd that only it sees."""
import os
import pathlib
import shutil
import signal
import subprocess

from .net import can_unshare, wait_for_port

TOP = pathlib.Path(__file__).resolve().parents[2]
ROOT = TOP / "build-peers" / "exim4-daemon-light" / "root"
UID = 9  # an account of Debian's base system that nothing else uses here


def available():
    return (ROOT / "usr/sbin/exim4").exists() and os.geteuid() == 0 and can_unshare()


class Exim:
    """`main`, `acl`, `routers` and `transports` go into those parts of its configuration, the routers before the one that leads all to `port`."""

    def __init__(self, folder, port, hostname="mx.exim.test", protocol="smtp", main="tls_advertise_hosts =", acl="", routers="", transports=""):
        self.folder, self.process = pathlib.Path(folder), None
        for name in ("spool", "log"):
            (self.folder / name).mkdir(parents=True)
            shutil.chown(self.folder / name, UID, UID)
        for parent in (self.folder, *self.folder.parents):
            if parent.is_relative_to("/tmp") and parent != pathlib.Path("/tmp"):
                parent.chmod(0o755)
        for name in ("passwd", "group"):
            line = f"Debian-exim:x:{UID}:{UID}::/:/bin/false\n" if name == "passwd" else f"Debian-exim:x:{UID}:\n"
            (self.folder / name).write_text(pathlib.Path("/etc", name).read_text() + line)
        (self.folder / "exim.conf").write_text(f"""
primary_hostname = {hostname}
exim_path = {ROOT}/usr/sbin/exim4
spool_directory = {self.folder}/spool
log_file_path = {self.folder}/log/%slog
keep_environment =
{main}
dsn_advertise_hosts = *
smtputf8_advertise_hosts = *
chunking_advertise_hosts = *
acl_smtp_rcpt = rcpt
disable_ipv6 = true
begin acl
rcpt:
{acl}
  accept
begin routers
{routers}
all:
  driver = manualroute
  route_list = * 127.0.0.1
  self = send
  transport = out
begin transports
{transports}
out:
  driver = smtp
  port = {port}
  protocol = {protocol}
  hosts_try_chunking = *
  hosts_avoid_tls = *
begin retry
* * F,1h,10m
""")

    def say(self, text):
        """Speaks SMTP to it (its option -bs) and has it deliver at once; returns what it answered."""
        done = subprocess.run(self.command("-odi -bs"), input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
        return done.stdout

    def command(self, options):
        return ["unshare", "--mount", "sh", "-c",
                f"mount --bind {self.folder}/passwd /etc/passwd && mount --bind {self.folder}/group /etc/group && "
                f"exec {ROOT}/usr/sbin/exim4 -C {self.folder}/exim.conf {options}"]

    def serve(self, port):
        """Listens on the port until stop()."""
        self.output = open(self.folder / "output", "ab")
        self.process = subprocess.Popen(self.command(f"-bdf -oX 127.0.0.1.{port}"), stdout=self.output, stderr=self.output, start_new_session=True)
        try:
            wait_for_port(port)
        except TimeoutError:
            self.stop()
            raise RuntimeError("Exim did not start:\n" + self.log() + (self.folder / "output").read_text())

    def stop(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait(10)
        self.output.close()

    def log(self):
        return "".join(p.read_text(errors="replace") for p in sorted((self.folder / "log").iterdir()))
