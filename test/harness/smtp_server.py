"""An SMTP server that does what a test tells it to: any reply, silence, garbage or an end at any step; TLS with any certificate;
any extensions. One listener a server; what it saw is kept."""
import base64
import re
import socket
import ssl
import threading


class SmtpServer:
    """extensions: EHLO lines. certificate: a harness.certificates.Certificate for STARTTLS (offered when given), with `implicit` TLS
    from the first byte. replies: step → reply line, or a callable that is given the session's socket; steps are connect, EHLO,
    HELO, STARTTLS, AUTH, MAIL, RCPT, DATA, END, BDAT, RSET, NOOP and, for RCPT, "RCPT address". users: name → password for
    AUTH PLAIN and LOGIN."""

    def __init__(self, address, port, extensions=("PIPELINING", "8BITMIME", "SMTPUTF8", "DSN", "CHUNKING"), certificate=None,
                 implicit=False, replies=None, users=None, hostname="peer.test"):
        self.extensions, self.replies, self.users = list(extensions), dict(replies or {}), dict(users or {})
        self.hostname, self.implicit = hostname, implicit
        self.context = None
        if certificate is not None:
            self.use(certificate)
        self.commands = []      # of all sessions
        self.messages = []      # dicts: mail, rcpts, data, tls, user
        self.connections = 0
        self.server_names = []  # SNI
        self.listener = socket.create_server((address, port))
        threading.Thread(target=self.accept, daemon=True).start()

    def use(self, certificate):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.pem, certificate.key_pem)
        context.sni_callback = lambda s, name, c: self.server_names.append(name)
        self.context = context

    def accept(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.session, args=(s,), daemon=True).start()

    def session(self, s):
        try:
            s.settimeout(60)
            if self.implicit:
                s = self.context.wrap_socket(s, server_side=True)
            Session(self, s).run()
        except (OSError, ValueError, EndOfSession):
            pass
        finally:
            s.close()

    def subjects(self):
        return [m.group(1).decode() for x in self.messages for m in [re.search(rb"(?m)^Subject: ([^\r\n]*)", x["data"])] if m]

    def close(self):
        self.listener.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


class EndOfSession(Exception):
    pass


class Session:
    def __init__(self, server, s):
        self.server, self.s, self.f = server, s, s.makefile("rwb")
        self.tls = server.implicit
        self.user = self.mail = None
        self.rcpts, self.data = [], b""

    def write(self, text):
        self.f.write(text if isinstance(text, bytes) else text.encode() + b"\r\n")
        self.f.flush()

    def say(self, step, default):
        """Says the step's reply; its first digit."""
        reply = self.server.replies.get(step, default)
        if callable(reply):
            reply = reply(self.s)
            if reply is None:
                raise EndOfSession
        self.write(reply)
        if reply.startswith("421"):
            raise EndOfSession
        return reply[0]

    def line(self):
        line = self.f.readline()
        if not line:
            raise EndOfSession
        return line

    def run(self):
        self.say("connect", f"220 {self.server.hostname} ESMTP")
        while True:
            line = self.line().rstrip(b"\r\n")
            self.server.commands.append(line.decode(errors="replace"))
            verb = line.split(b" ")[0].upper().decode(errors="replace")
            getattr(self, "on_" + verb.lower(), self.on_other)(line, verb)

    def on_other(self, line, verb):
        self.say(verb, "250 2.0.0 fine")

    def on_quit(self, line, verb):
        self.write("221 2.0.0 bye")
        raise EndOfSession

    def on_ehlo(self, line, verb):
        if "EHLO" in self.server.replies:
            self.say("EHLO", "")
            return
        lines = [self.server.hostname] + self.server.extensions
        if self.server.context is not None and not self.tls:
            lines.append("STARTTLS")
        if self.server.users and self.tls:
            lines.append("AUTH PLAIN LOGIN")
        self.write("\r\n".join("250-" + x for x in lines[:-1]) + "\r\n250 " + lines[-1] if len(lines) > 1 else "250 " + lines[0])

    def on_starttls(self, line, verb):
        if self.say("STARTTLS", "220 2.0.0 go on") == "2":
            self.s = self.server.context.wrap_socket(self.s, server_side=True)
            self.f = self.s.makefile("rwb")
            self.tls = True

    def on_auth(self, line, verb):
        words = line.decode().split(" ")
        if "AUTH" in self.server.replies:
            self.say("AUTH", "")
            return
        if words[1].upper() == "PLAIN":
            _, user, password = base64.b64decode(words[2]).decode().split("\0")
        else:
            self.write("334 " + base64.b64encode(b"Username:").decode())
            user = base64.b64decode(self.line()).decode()
            self.write("334 " + base64.b64encode(b"Password:").decode())
            password = base64.b64decode(self.line()).decode()
        if self.server.users.get(user) == password:
            self.user = user
            self.write("235 2.7.0 welcome")
        else:
            self.write("535 5.7.8 wrong")

    def on_mail(self, line, verb):
        if self.server.users and self.user is None:
            self.write("530 5.7.0 Authentication required")
        elif self.say("MAIL", "250 2.1.0 fine") == "2":
            self.mail, self.rcpts, self.data = line.decode(errors="replace"), [], b""

    def on_rcpt(self, line, verb):
        address = re.search(rb"<(.*?)>", line).group(1).decode(errors="replace")
        step = "RCPT " + address
        if self.say(step if step in self.server.replies else "RCPT", "250 2.1.5 fine") == "2":
            self.rcpts.append(line.decode(errors="replace"))

    def on_data(self, line, verb):
        if not self.rcpts:
            self.write("503 5.5.1 no recipients")
            return
        if self.say("DATA", "354 go on") != "3":
            return
        rows = []
        while (row := self.line()) != b".\r\n":
            rows.append(row[1:] if row.startswith(b".") else row)
        self.data = b"".join(rows)
        self.finish()

    def on_bdat(self, line, verb):
        words = line.split()
        self.data += self.f.read(int(words[1]))
        if not self.rcpts:
            self.write("503 5.5.1 no recipients")
        elif len(words) > 2:
            self.finish()
        else:
            self.say("BDAT", "250 2.0.0 more")

    def finish(self):
        message = {"mail": self.mail, "rcpts": self.rcpts, "data": self.data, "tls": self.tls, "user": self.user}
        if self.server.replies.get("END", "250") and not callable(self.server.replies.get("END")) and \
                self.server.replies.get("END", "250").startswith("2"):
            self.server.messages.append(message)
        self.say("END", "250 2.0.0 taken")
        self.mail, self.rcpts, self.data = None, [], b""
