"""An HTTPS server that hands out MTA-STS policies on loopback: whatever a test wants for each host name; and takes reports."""
import http.server
import ssl
import threading


class PolicyHost:
    """policies: host name → text, or (status, content type, text). The certificate is for all of them."""

    def __init__(self, address, port, certificate, policies):
        self.policies = policies
        self.asked = []
        self.posted = []  # (host, path, content type, body)
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                host = self.headers["Host"]
                outer.asked.append((host, self.path))
                answer = outer.policies.get(host)
                if answer is None or self.path != "/.well-known/mta-sts.txt":
                    answer = (404, "text/plain", "no such policy\n")
                elif isinstance(answer, str):
                    answer = (200, "text/plain", answer)
                status, kind, text = answer
                self.send_response(status)
                self.send_header("Content-Type", kind)
                if status // 100 == 3:
                    self.send_header("Location", f"https://{host}/elsewhere")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.posted.append((self.headers["Host"], self.path, self.headers["Content-Type"], body))
                self.send_response(201 if self.path.startswith("/tls") else 404)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer((address, port), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.pem, certificate.key_pem)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


def policy(mode, *mx, max_age=86400):
    return "version: STSv1\r\nmode: %s\r\n%smax_age: %d\r\n" % (mode, "".join(f"mx: {m}\r\n" for m in mx), max_age)
