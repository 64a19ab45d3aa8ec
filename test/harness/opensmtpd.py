"""An OpenSMTPD of Debian's package, unpacked (not installed) by script/bootstrap, run on loopback. It needs root and a mount namespace, in which
only it sees its users, its spool, its helpers and its socket where the package would put them."""
import os
import pathlib
import signal
import subprocess

from .net import can_unshare, wait_for_port

TOP = pathlib.Path(__file__).resolve().parents[2]
ROOT = TOP / "build-peers" / "opensmtpd" / "root"
DAEMON, QUEUE, OWNER = 33, 10, 9  # accounts of Debian's base system that nothing else uses here


def available():
    return (ROOT / "usr/sbin/smtpd").exists() and os.geteuid() == 0 and can_unshare()


class OpenSmtpd:
    """`boxes`: addresses that have the one mailbox, `folder/mail/new`. `rules`: lines of smtpd.conf, after a table <boxes> and an action "in"."""

    def __init__(self, folder, port, hostname, boxes, rules, certificate):
        self.folder, self.port, self.process = pathlib.Path(folder), port, None
        for name, mode, owner, group in (("", 0o755, 0, 0), ("run", 0o755, 0, 0), ("mail", 0o755, OWNER, OWNER), ("lib", 0o755, 0, 0),
                                         ("lib/opensmtpd", 0o755, 0, 0), ("lib/opensmtpd/empty", 0o755, 0, 0), ("spool", 0o755, 0, 0),
                                         ("spool/smtpd", 0o711, 0, 0), ("spool/smtpd/offline", 0o770, 0, QUEUE),
                                         *((f"spool/smtpd/{n}", 0o700, QUEUE, 0) for n in ("purge", "temporary", "queue", "incoming", "corrupt"))):
            path = self.folder / name
            path.mkdir(parents=True, exist_ok=True)
            path.chmod(mode)
            os.chown(path, owner, group)
        users = (("opensmtpd", DAEMON, "/var/lib/opensmtpd/empty"), ("opensmtpq", QUEUE, "/var/lib/opensmtpd/empty"), ("postbox", OWNER, self.folder / "mail"))
        (self.folder / "passwd").write_text(pathlib.Path("/etc/passwd").read_text() + "".join(f"{n}:x:{i}:{i}::{home}:/bin/sh\n" for n, i, home in users))
        (self.folder / "group").write_text(pathlib.Path("/etc/group").read_text() + "".join(f"{n}:x:{i}:\n" for n, i, _ in users))
        table = ", ".join(f'"{address}" = "postbox"' for address in boxes)
        key = self.folder / "key.pem"
        key.write_bytes(certificate.key_pem.read_bytes())
        key.chmod(0o600)
        (self.folder / "smtpd.conf").write_text(
            f'pki here cert "{certificate.pem}"\npki here key "{key}"\nsmtp max-message-size 64M\n'
            f"listen on 127.0.0.1 port {port} tls pki here hostname {hostname}\ntable boxes {{ {table} }}\n"
            f'action "in" maildir "{self.folder}/mail" virtual <boxes>\n{rules}')

    def start(self):
        f = self.folder
        binds = ((f / "passwd", "/etc/passwd"), (f / "group", "/etc/group"), (f / "lib", "/var/lib"), (f / "spool", "/var/spool"),
                 (f / "run", "/run"), (ROOT / "usr/libexec", "/usr/libexec"))
        command = " && ".join([f"mount --bind {a} {b}" for a, b in binds] + [f"exec {ROOT}/usr/sbin/smtpd -d -v -f {f}/smtpd.conf"])
        self.output = open(f / "log", "ab")
        self.process = subprocess.Popen(["unshare", "--mount", "sh", "-c", command], stdout=self.output, stderr=self.output, start_new_session=True)
        try:
            wait_for_port(self.port)
        except TimeoutError:
            self.stop()
            raise RuntimeError("OpenSMTPD did not start:\n" + self.log())
        return self

    def log(self):
        return (self.folder / "log").read_text(errors="replace")

    def stop(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        self.output.close()

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.stop()
