"""A Postfix of Debian's package, unpacked (not installed) by script/bootstrap, run on loopback from a folder of its own.
It needs root, since Postfix drops to its own user."""
import os
import pathlib
import shutil
import signal
import subprocess

from .net import wait_for_port

TOP = pathlib.Path(__file__).resolve().parents[2]
ROOT = TOP / "build-peers" / "postfix" / "root"


def available():
    return (ROOT / "usr/sbin/postfix").exists() and os.geteuid() == 0


def environment():
    return {**os.environ, "LD_LIBRARY_PATH": str(ROOT / "usr/lib/postfix"), "LC_ALL": "C"}


class Postfix:
    """main_cf: settings that are added to the basic ones; maildir users are virtual mailboxes below `mail/`."""

    OWNER, GROUP = "news", "games"  # an account and a group of Debian's base system that nothing else uses here

    def __init__(self, folder, port, hostname="postfix.test", main_cf=None, master_extra=""):
        self.folder = pathlib.Path(folder)
        self.port = port
        self.hostname = hostname
        etc = self.folder / "etc"
        for name in ("etc", "spool", "data", "mail", "log"):
            (self.folder / name).mkdir(parents=True)
        self.folder.chmod(0o755)
        for parent in self.folder.parents:
            if parent == pathlib.Path("/"):
                break
            if not parent.stat().st_mode & 0o001 and parent.is_relative_to("/tmp"):
                parent.chmod(parent.stat().st_mode | 0o055)
        for name in ("data", "mail"):
            shutil.chown(self.folder / name, self.OWNER)
        settings = {
            "compatibility_level": "3.6",
            "config_directory": etc,
            "queue_directory": self.folder / "spool",
            "data_directory": self.folder / "data",
            "daemon_directory": ROOT / "usr/lib/postfix/sbin",
            "command_directory": ROOT / "usr/sbin",
            "sendmail_path": ROOT / "usr/sbin/sendmail",
            "newaliases_path": ROOT / "usr/bin/newaliases",
            "mailq_path": ROOT / "usr/bin/mailq",
            "shlib_directory": ROOT / "usr/lib/postfix",
            "meta_directory": etc,
            "mail_owner": self.OWNER,
            "setgid_group": self.GROUP,
            "import_environment": "MAIL_CONFIG MAIL_DEBUG MAIL_LOGTAG TZ LANG=C LD_LIBRARY_PATH",
            "export_environment": "TZ MAIL_CONFIG LANG LD_LIBRARY_PATH",
            "maillog_file": self.folder / "log" / "mail.log",
            "maillog_file_prefixes": "/",
            "myhostname": hostname,
            "mydestination": "",
            "inet_interfaces": "127.0.0.1",
            "inet_protocols": "ipv4",
            "mynetworks": "127.0.0.0/8",
            "alias_maps": "",
            "alias_database": "",
            "local_recipient_maps": "",
            "virtual_mailbox_base": self.folder / "mail",
            "virtual_uid_maps": "static:9",
            "virtual_minimum_uid": "1",
            "virtual_gid_maps": "static:9",
            "smtp_dns_support_level": "enabled",
            "smtp_host_lookup": "dns, native",
            "biff": "no",
            "smtpd_client_connection_count_limit": "0",
            "smtpd_recipient_restrictions": "permit_mynetworks, reject",
            "smtpd_peername_lookup": "no",
            "multi_instance_enable": "no",
            "default_database_type": "texthash",
            "process_id_directory": "pid",
        }
        settings.update(main_cf or {})
        (etc / "main.cf").write_text("".join(f"{k} = {v}\n" for k, v in settings.items()))
        services = [f"127.0.0.1:{port} inet n - n - - smtpd"]
        for line in MASTER.strip().splitlines():
            services.append(line)
        (etc / "master.cf").write_text("\n".join(services) + "\n" + master_extra)
        for name in ("postfix-files", "dynamicmaps.cf"):
            source = ROOT / "etc/postfix" / name
            (etc / name).write_text("" if name == "dynamicmaps.cf" or not source.exists() else source.read_text())
        (etc / "postfix-files.d").mkdir()
        (etc / "dynamicmaps.cf.d").mkdir()

    def command(self, name, *args, **kw):
        kw.setdefault("check", True)
        return subprocess.run([str(ROOT / "usr/sbin" / name), "-c", str(self.folder / "etc"), *args], env=environment(),
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, **kw)

    def start(self):
        for name in ("active bounce corrupt defer deferred flush hold incoming private saved trace".split()):
            folder = self.folder / "spool" / name
            folder.mkdir(exist_ok=True)
            folder.chmod(0o700)
            shutil.chown(folder, self.OWNER)
        (self.folder / "spool/pid").mkdir(exist_ok=True)
        for name, mode in (("maildrop", 0o730), ("public", 0o710)):
            folder = self.folder / "spool" / name
            folder.mkdir(exist_ok=True)
            shutil.chown(folder, self.OWNER, self.GROUP)
            folder.chmod(mode)
        self.master = subprocess.Popen([str(ROOT / "usr/lib/postfix/sbin/master"), "-c", str(self.folder / "etc"), "-d"],
                                       env=environment(), cwd=self.folder / "spool", start_new_session=True,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_for_port(self.port)
        except TimeoutError:
            self.stop()
            raise RuntimeError("Postfix did not start:\n" + self.log())
        return self

    def log(self):
        path = self.folder / "log" / "mail.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def stop(self):
        if self.master.poll() is None:
            os.killpg(self.master.pid, signal.SIGTERM)
            try:
                self.master.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self.master.pid, signal.SIGKILL)
                self.master.wait()

    def cpu_seconds(self):
        """CPU seconds used so far by the master and its children that still live, and those it has waited for."""
        total = 0
        ticks = os.sysconf("SC_CLK_TCK")
        for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == self.master.pid or int(stat.parent.name) == self.master.pid:
                total += int(fields[11]) + int(fields[12])
                if int(stat.parent.name) == self.master.pid:
                    total += int(fields[13]) + int(fields[14])
        return total / ticks

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.stop()


MASTER = """
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
virtual unix - n n - - virtual
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""
