"""Receives webhooks with the function that README.md shows: receive.py PATH_OF_ITS_MODULE.

Prints its port, then the id of each event that is verified; answers 400 to what is not.
"""

import runpy
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

verified = runpy.run_path(sys.argv[1])["verified"]


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        try:
            event = verified(body, dict(self.headers))
            sys.stdout.write(event["eventId"] + "\n")
            sys.stdout.flush()
            self.answer(204, b"")
        except Exception as error:
            self.answer(400, repr(error).encode())

    def answer(self, status, text):
        self.send_response(status)
        if status != 204:
            self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
print(server.server_address[1], flush=True)
server.serve_forever()
