"""Dovecot of Debian's package, unpacked (not installed) by script/bootstrap: its imap process alone, talked to over pipes, with a
mail folder of its own. No listener, no other process."""
import os
import pathlib
import shutil
import subprocess

from .imap import Session

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

    def pop3(self):
        return self.start(POP3D / "usr/lib/dovecot/pop3")

    def write(self, data):
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def close(self):
        self.process.stdin.close()
        self.process.wait(30)
        self.log.close()

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)
