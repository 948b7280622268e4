"""A chat endpoint on this machine, which says what a test wants to hear."""

import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from soundwright.text.chat import ChatConfig


def reply(text):
    return 200, json.dumps({"choices": [{"message": {"content": text}}]})


class Drip:
    """An answer that comes a byte at a time and never ends in time."""


@contextmanager
def serve(*answers):
    """An endpoint that gives these answers, the last one for ever; yields its config and requests.

    An answer is (status, body) or (status, body, headers), or `Drip`.
    """
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = answers[min(len(asked), len(answers) - 1)]
            asked.append((self.path, dict(self.headers), body))
            if answer is Drip:
                self.send_response(200)
                self.end_headers()
                try:
                    for _ in range(40):
                        self.wfile.write(b" ")
                        self.wfile.flush()
                        time.sleep(0.05)
                except OSError:
                    pass
                return
            status, content, *headers = answer
            self.send_response(status)
            for name, value in (headers[0] if headers else {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content.encode())

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}/v1/"
        yield ChatConfig(url=url, model="m", pause=0.01, attempts=3, timeout=5), asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
