"""A port of loopback that hands its connections to another one and remembers what was said: the words of an SMTP client and of its server."""
import re
import socket
import threading

from .net import free_port


class Talk:
    """One connection. `turns`: [(who, bytes)], "c" the client and "s" the server; a turn ends where the other one says something."""

    def __init__(self):
        self.turns = []
        self.bytes = {"c": 0, "s": 0}  # all that was said, also what is too long to be remembered

    def said(self, who):
        return b"".join(data for name, data in self.turns if name == who)

    def commands(self):
        """The lines of the client that are neither empty nor of a message sent with DATA; parts of chunks may be among them."""
        text = re.sub(rb"(?m)^(DATA\r\n).*?\r\n\.\r\n", rb"\1", self.said("c"), flags=re.S | re.I)
        return [line.decode("utf-8", "replace") for line in text.split(b"\r\n") if line]

    def offers(self):
        """The keywords of the server's EHLO replies."""
        return {m.group(1).decode() for m in re.finditer(rb"(?m)^250[- ](8BITMIME|[A-Z][A-Z0-9-]+)(?=[ \r])", self.said("s"))}

    def pipelined(self):
        """Whether MAIL and RCPT came before the server had answered the first of them."""
        return any(name == "c" and re.search(rb"(?i)MAIL FROM:.*\r\nRCPT TO:", data) for name, data in self.turns)


class Tap:
    def __init__(self, port=0, target=0, address="127.0.0.1"):
        self.port, self.target, self.address = port or free_port(), target, address
        self.talks, self.lock = [], threading.Lock()
        self.listener = socket.create_server((address, self.port), backlog=64)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection((self.address, self.target), timeout=60)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            talk = Talk()
            with self.lock:
                self.talks.append(talk)
            for who, source, sink in (("c", client, server), ("s", server, client)):
                threading.Thread(target=self.pump, args=(talk, who, source, sink), daemon=True).start()

    def pump(self, talk, who, source, sink):
        try:
            while data := source.recv(1 << 18):
                with self.lock:
                    talk.bytes[who] += len(data)
                    if talk.turns and talk.turns[-1][0] == who:
                        talk.turns[-1] = (who, talk.turns[-1][1] + data) if len(talk.turns[-1][1]) < 65536 else talk.turns[-1]
                    else:
                        talk.turns.append((who, data))
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)  # clients may end their side first and still listen
        except OSError:
            for s in (source, sink):
                s.close()

    def with_words(self, words):
        """The connections in which the client said this."""
        with self.lock:
            return [t for t in self.talks if words.encode() in t.said("c")]

    def close(self):
        self.listener.close()
