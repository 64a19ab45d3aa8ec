"""An SMTP server for tests that takes what it is given, says what it is told to, and counts. As many of them as there are loopback addresses."""
import socket
import threading
import time


class Sink:
    """`replies`: {"MAIL": "451 4.7.1 later", "RCPT:bob@": "550 5.1.1 no", "END": …, "connect": …}; the longest prefix that fits counts. `extensions`
    are told in EHLO. `delay_s`: before each reply to the end of the data."""

    def __init__(self, address, port, replies=None, extensions=("PIPELINING", "8BITMIME"), delay_s=0):
        self.replies, self.extensions, self.delay_s = dict(replies or {}), extensions, delay_s
        self.messages, self.commands, self.connections, self.now, self.most, self.moments = [], [], 0, 0, 0, []
        self.lock = threading.Lock()
        self.address, self.port = address, port
        self.listener = socket.create_server((address, port), backlog=256)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    def reply(self, key, otherwise):
        fits = [k for k in self.replies if key.lower().startswith(k.lower())]
        return self.replies[max(fits, key=len)] if fits else otherwise

    def serve(self, s):
        with self.lock:
            self.connections += 1
            self.now += 1
            self.most = max(self.most, self.now)
        try:
            self.session(s.makefile("rwb"))
        except OSError:
            pass
        finally:
            with self.lock:
                self.now -= 1
            s.close()

    def session(self, f):
        def say(text):
            f.write(text.encode() + b"\r\n")
            f.flush()
        say(self.reply("connect", "220 sink.test ESMTP"))
        to = []
        while line := f.readline():
            text = line.decode("utf-8", "replace").strip()
            verb = text.split(" ")[0].split(":")[0].upper()
            self.commands.append(text)
            if verb == "EHLO":
                answer = ["sink.test", *self.extensions]
                for word in answer[:-1]:
                    f.write(f"250-{word}\r\n".encode())
                say(f"250 {answer[-1]}")
            elif verb == "RCPT":
                address = text[text.index("<") + 1:text.index(">")]
                code = self.reply(f"RCPT:{address}", "250 2.1.5 ok")
                to += [address] if code.startswith("2") else []
                say(code)
            elif verb == "DATA":
                self.data(f, say, to)
                to = []
            elif verb == "QUIT":
                say("221 2.0.0 bye")
                return
            else:
                to = [] if verb in ("MAIL", "RSET") else to
                say(self.reply(verb, "250 2.0.0 ok"))

    def data(self, f, say, to):
        if not to:
            say("503 5.5.1 no recipients")
            return
        say("354 go on")
        body = b""
        while (row := f.readline()) not in (b".\r\n", b""):
            body += row
        if self.delay_s:
            time.sleep(self.delay_s)
        answer = self.reply("END", "250 2.0.0 taken")
        if answer.startswith("2"):
            self.messages.append((tuple(to), body))
            self.moments.append(time.monotonic())
        say(answer)

    def close(self):
        self.listener.close()
