"""Dovecot of Debian's package, unpacked (not installed) by script/bootstrap: its imap process alone, talked to over pipes, with a
mail folder of its own; or all of it (Whole), which wants root, since it finds its own files only below /usr: it runs in a
mount namespace in which they lie there."""
import os
import pathlib
import shutil
import signal
import subprocess

from .imap import Session
from .net import free_port, wait_until

TOP = pathlib.Path(__file__).resolve().parents[2]
ROOT = TOP / "build-peers" / "dovecot-core" / "root"
IMAPD = TOP / "build-peers" / "dovecot-imapd" / "root"
POP3D = TOP / "build-peers" / "dovecot-pop3d" / "root"


def available():
    return (ROOT / "usr/bin/doveconf").exists() and (IMAPD / "usr/lib/dovecot/imap").exists()


class Dovecot(Session):
    def __init__(self, folder, form="sdbox"):
        self.folder = pathlib.Path(folder)
        (self.folder / "run").mkdir(parents=True)
        uid, gid = os.getuid(), os.getgid()
        if uid == 0:  # it does not serve root
            uid = gid = 65534
            for path in (self.folder, self.folder / "run"):
                os.chown(path, uid, gid)
                path.chmod(0o755)
        config = self.folder / "dovecot.conf"
        config.write_text(f"""base_dir = {self.folder}/run
state_dir = {self.folder}/run
mail_location = {form}:{self.folder}/mail
mail_home = {self.folder}
mail_uid = {uid}
mail_gid = {gid}
first_valid_uid = 1
first_valid_gid = 1
default_internal_user = nobody
default_login_user = nobody
ssl = no
mail_attachment_detection_options =
namespace inbox {{
  inbox = yes
}}
""")
        self.log = open(self.folder / "log", "wb")
        self.process = self.start(IMAPD / "usr/lib/dovecot/imap")
        self.file = self.process.stdout
        self.begin()

    def start(self, binary):
        """One of its processes on the folder, with pipes to talk to it."""
        environment = {**os.environ, "USER": "alice", "HOME": str(self.folder),
                       "LD_LIBRARY_PATH": f"{ROOT}/usr/lib/dovecot"}
        return subprocess.Popen([ROOT / "usr/bin/doveconf", "-c", self.folder / "dovecot.conf", "-e", binary],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, env=environment)

    def again(self):
        """Another process in place of one that has ended."""
        self.process.wait(30)
        self.process = self.start(IMAPD / "usr/lib/dovecot/imap")
        self.file = self.process.stdout
        self.begin()

    def write(self, data):
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def close(self):
        self.process.stdin.close()
        self.process.wait(30)
        self.log.close()

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)


def whole_available():
    """Can all of it be run here?"""
    if os.getuid() != 0 or not available() or not (POP3D / "usr/lib/dovecot/pop3").exists():
        return False
    return subprocess.run([*NAMESPACE, "test -x /usr/sbin/dovecot"], capture_output=True).returncode == 0


NAMESPACE = ["unshare", "--mount", "sh", "-c", f'mount -t overlay -o lowerdir={POP3D}/usr:{IMAPD}/usr:{ROOT}/usr:/usr none /usr && eval "$0"']


class Whole:
    """Its sign-in and all its other processes, as the package configures them, on loopback ports in the clear and under TLS. The account is
    alice; its password lies in a file as it is, and what was verified is remembered (auth_cache)."""

    def __init__(self, folder, form, home, password, quick=False):
        """`home` is a folder of Dovecot's above, which is closed. With `quick` its processes serve one connection after the other, instead of
        being started for each of them."""
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True)
        self.folder.chmod(0o755)
        self.ports = {name: free_port() for name in ("imap", "imaps", "pop3", "pop3s")}
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "9", "-subj", "/CN=localhost",
                        "-keyout", self.folder / "key.pem", "-out", self.folder / "cert.pem"], check=True, capture_output=True)
        (self.folder / "users").write_text(f"alice:{{PLAIN}}{password}:65534:65534::{home}::\n")
        again = "service_count = 0\n  process_min_avail = 1" if quick else ""
        listeners = "".join(f"""service {protocol}-login {{
  {again}
  inet_listener {protocol} {{
    port = {self.ports[protocol]}
  }}
  inet_listener {protocol}s {{
    port = {self.ports[protocol + "s"]}
  }}
}}
service {protocol} {{
  {"service_count = 1000" if quick else ""}
}}
""" for protocol in ("imap", "pop3"))
        (self.folder / "dovecot.conf").write_text(f"""base_dir = {self.folder}/run
state_dir = {self.folder}/run
log_path = {self.folder}/log
listen = 127.0.0.1
protocols = imap pop3
mail_location = {form}:{home}/mail
first_valid_uid = 1
first_valid_gid = 1
default_internal_user = daemon
default_internal_group = daemon
default_login_user = nobody
ssl = yes
ssl_cert = <{self.folder}/cert.pem
ssl_key = <{self.folder}/key.pem
disable_plaintext_auth = no
auth_cache_size = 10M
mail_max_userip_connections = 1000
passdb {{
  driver = passwd-file
  args = {self.folder}/users
}}
userdb {{
  driver = passwd-file
  args = {self.folder}/users
}}
namespace inbox {{
  inbox = yes
}}
{listeners}""")
        self.process = subprocess.Popen([*NAMESPACE, f"exec /usr/sbin/dovecot -F -c {self.folder}/dovecot.conf"],
                                        stderr=subprocess.PIPE)
        wait_until(lambda: (self.folder / "run/master.pid").exists() or self.process.poll() is not None, 30)
        if self.process.poll() is not None:
            raise RuntimeError(self.process.stderr.read().decode())

    def cpu_ms(self):
        """Of all its processes, those included that have ended."""
        master = pathlib.Path(f"/proc/{self.process.pid}")
        ended = (master / "stat").read_text().rpartition(")")[2].split()[13:15]
        total = sum(int(n) for n in ended) * 1000 / os.sysconf("SC_CLK_TCK")
        for pid in [self.process.pid, *(master / f"task/{self.process.pid}/children").read_text().split()]:
            try:
                total += int(pathlib.Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e6
            except FileNotFoundError:
                pass  # it has ended since, and is its parent's at the next look
        return total

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)
        self.process.stderr.close()
