"""Dovecot of Debian's package behind a loopback port. Its imap process is what serves; the sign-in in front of it is ours, since
Dovecot's own cannot run from where it was unpacked: it knows LOGIN and AUTHENTICATE PLAIN with hashed passwords of a passwd-file, and a master
user. What the process answers may be tampered with on its way."""
import base64
import os
import pathlib
import re
import shutil
import select
import socket
import ssl
import subprocess
import threading
import warnings

from . import dovecot
from .net import free_port

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import crypt

available = dovecot.available
CLEAR = "IMAP4rev1 STARTTLS LOGINDISABLED"
CAPABILITIES = "IMAP4rev1 SASL-IR LITERAL+ AUTH=PLAIN"


def check(hashed, password):
    scheme, secret = re.fullmatch(r"\{([A-Za-z0-9-]+)\}(.*)", hashed).groups()
    return secret == password if scheme == "PLAIN" else crypt.crypt(password, secret) == secret


class Secured:
    """A connection under TLS for one thread that reads and one that writes: OpenSSL takes one at a time."""

    def __init__(self, connection):
        self.connection, self.lock = connection, threading.Lock()

    def recv(self, n):
        if not self.connection.pending():
            select.select([self.connection], [], [])
        with self.lock:
            return self.connection.recv(n)

    def sendall(self, data):
        with self.lock:
            self.connection.sendall(data)

    def __getattr__(self, name):
        return getattr(self.connection, name)


class DovecotServer:
    def __init__(self, folder, form="maildir", more="", tamper=None, tls=None, implicit=False):
        """tls: a Certificate, for STARTTLS (without which nobody signs in) or, with `implicit`, from the first byte on. tamper(connection number) gives a function from one piece of what the server says to what the client gets, or to None to
        end the connection, or gives None."""
        self.folder = pathlib.Path(folder).resolve()
        self.form, self.more, self.tamper, self.implicit = form, more, tamper, implicit
        self.passwords = []  # all that was said in sign-ins, right or wrong
        self.context = None
        if tls is not None:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(tls.pem, tls.key_pem)
        self.folder.mkdir(parents=True)
        self.folder.chmod(0o755)
        uid, gid = os.getuid(), os.getgid()
        if uid == 0:  # it does not serve root
            uid = gid = 65534
        self.uid, self.gid = uid, gid
        self.users = {}
        self.masters = {}
        self.connections = 0
        self.open = set()
        self.lock = threading.Lock()
        self.log = open(self.folder / "log", "ab")

    def home(self, name):
        return self.folder / "home" / name

    def add_user(self, name, hashed):
        """`hashed` is a password in Dovecot's spelling, as {PLAIN}secret."""
        self.users[name] = hashed
        home = self.home(name)
        (home / "run").mkdir(parents=True)
        for path in (home.parent, home, home / "run"):
            os.chown(path, self.uid, self.gid)
            path.chmod(0o755)
        (home / "dovecot.conf").write_text(f"""base_dir = {home}/run
state_dir = {home}/run
mail_location = {self.form}:{home}/mail
mail_home = {home}
mail_uid = {self.uid}
mail_gid = {self.gid}
first_valid_uid = 1
first_valid_gid = 1
default_internal_user = nobody
default_login_user = nobody
ssl = no
mail_fsync = never
mail_attachment_detection_options =
namespace inbox {{
  inbox = yes
}}
{self.more}
""")

    def take_mail(self, name, path):
        """Makes a Maildir the user's mail."""
        shutil.copytree(path, self.home(name) / "mail")
        for top, folders, files in os.walk(self.home(name) / "mail"):
            for entry in (".", *folders, *files):
                os.chown(os.path.join(top, entry), self.uid, self.gid)

    def passwd_file(self):
        return "".join(f"{name}:{hashed}:{self.uid}:{self.gid}::{self.home(name)}::\n" for name, hashed in self.users.items())

    # ---- a connection ----

    def sign_in(self, client):
        """The user's name, the tag of the command and the connection, which may have become one of TLS; or None."""
        file, clear = client.makefile("rb", buffering=0), self.context is not None and not self.implicit
        client.sendall(f"* OK [CAPABILITY {CLEAR if clear else CAPABILITIES}] ready\r\n".encode())
        while True:
            line = file.readline().decode("latin-1").rstrip("\r\n")
            if not line:
                return None
            tag, _, rest = line.partition(" ")
            verb, _, rest = rest.partition(" ")
            name = None
            if verb.upper() == "CAPABILITY":
                client.sendall(f"* CAPABILITY {CLEAR if clear else CAPABILITIES}\r\n{tag} OK done\r\n".encode())
                continue
            if verb.upper() == "STARTTLS" and clear:
                client.sendall(f"{tag} OK go on\r\n".encode())
                client = Secured(self.context.wrap_socket(client, server_side=True))
                file, clear = client.makefile("rb", buffering=0), False
                continue
            if verb.upper() == "LOGOUT":
                client.sendall(f"* BYE\r\n{tag} OK done\r\n".encode())
                return None
            if verb.upper() == "LOGIN":
                name, password = re.fullmatch(r'"?([^" ]*)"? "?([^"]*)"?', rest).groups()
                who = name
            elif verb.upper() == "AUTHENTICATE":
                first = rest.partition(" ")[2]
                if not first:
                    client.sendall(b"+ \r\n")
                    first = file.readline().decode()
                name, who, password = base64.b64decode(first).decode().split("\0")
                name = name or who
            self.passwords.append(password)
            hashed = (self.users if who == name else self.masters).get(who)
            if not clear and name in self.users and hashed and check(hashed, password):
                return name, tag, client
            client.sendall(f"{tag} NO [AUTHENTICATIONFAILED] Authentication failed.\r\n".encode())

    def serve(self, client, number):
        process = None
        try:
            if self.implicit:
                client = Secured(self.context.wrap_socket(client, server_side=True))
            user = self.sign_in(client)
            if user is None:
                return
            name, tag, client = user
            environment = {**os.environ, "USER": name, "HOME": str(self.home(name)),
                           "LD_LIBRARY_PATH": f"{dovecot.ROOT}/usr/lib/dovecot"}
            process = subprocess.Popen([dovecot.ROOT / "usr/bin/doveconf", "-c", self.home(name) / "dovecot.conf", "-e",
                                        dovecot.IMAPD / "usr/lib/dovecot/imap"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                       stderr=self.log, env=environment)
            greeting = process.stdout.readline()
            assert greeting.startswith(b"* PREAUTH"), greeting
            client.sendall(f"{tag} OK Logged in\r\n".encode())
            threading.Thread(target=self.upwards, args=(client, process), daemon=True).start()
            change = self.tamper(number) if self.tamper else None
            while True:
                piece = process.stdout.read1(65536)
                if not piece:
                    return
                if change is not None:
                    piece = change(piece)
                    if piece is None:
                        return
                client.sendall(piece)
        except (OSError, ValueError):
            pass  # the client has gone, or we are stopping
        finally:
            self.end(client, process)

    def upwards(self, client, process):
        try:
            while True:
                piece = client.recv(65536)
                if not piece:
                    break
                process.stdin.write(piece)
                process.stdin.flush()
        except (OSError, ValueError):
            pass
        try:
            process.stdin.close()
        except (OSError, ValueError):
            pass

    def end(self, client, process):
        with self.lock:
            self.open.discard(client)
        try:
            client.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        client.close()
        if process is not None:
            process.terminate()
            process.wait()
            process.stdout.close()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                self.connections += 1
                number = self.connections
                self.open.add(client)
            threading.Thread(target=self.serve, args=(client, number), daemon=True).start()

    def drop_all(self):
        """Ends every connection."""
        with self.lock:
            clients = list(self.open)
        for client in clients:
            try:
                client.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def start(self):
        self.port = free_port()
        self.listener = socket.create_server(("127.0.0.1", self.port))
        self.url = f"imap{'s' if self.implicit else ''}://127.0.0.1:{self.port}"
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.drop_all()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()


class Maildirs:
    """Writes messages straight into a user's Maildir, as a delivery would."""

    def __init__(self, server, user):
        self.server, self.root, self.count = server, server.home(user) / "mail", 0

    def own(self, path):
        os.chown(path, self.server.uid, self.server.gid)

    def folder(self, name=""):
        path = self.root / f".{name}" if name else self.root
        if not path.exists():
            for part in (self.root, path, path / "cur", path / "new", path / "tmp"):
                part.mkdir(exist_ok=True)
                self.own(part)
        for part in ("cur", "new", "tmp"):
            if not (path / part).exists():
                (path / part).mkdir()
                self.own(path / part)
        return path

    def put(self, raw, folder="", flags="", date=1_000_000_000):
        """The name of the file. `flags` are Maildir's letters (DFRST), keywords a to z by dovecot-keywords."""
        self.count += 1
        name = f"{date}.M{self.count:06}P1.test"
        path = self.folder(folder) / "cur" / f"{name}:2,{''.join(sorted(flags))}"
        path.write_bytes(raw.replace(b"\r\n", b"\n"))
        os.utime(path, (date, date))
        self.own(path)
        return name

    def keywords(self, folder, names):
        path = self.folder(folder) / "dovecot-keywords"
        path.write_text("".join(f"{n} {name}\n" for n, name in enumerate(names)))
        self.own(path)
