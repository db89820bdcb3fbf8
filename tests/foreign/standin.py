"""A model server that answers with the events in the request's header `x-events` (a JSON
list of texts), as often as `x-times` says, and keeps the last request for `GET /seen`.
Says its address on the first line."""

import http.server
import json
import sys


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seen = {}

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        Handler.seen = {"headers": dict(self.headers), "body": json.loads(body)}
        events = json.loads(self.headers.get("x-events", "[]"))
        events *= int(self.headers.get("x-times", "1"))
        text = "".join(f"data: {event}\n\n" for event in [*events, "[DONE]"]).encode()
        self.answer("text/event-stream", text)

    def do_GET(self):
        self.answer("application/json", json.dumps(Handler.seen).encode())

    def answer(self, kind, content):
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(f"127.0.0.1:{server.server_port}", flush=True)
try:
    server.serve_forever()
except KeyboardInterrupt:
    sys.exit(0)
