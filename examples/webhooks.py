"""A receiver of webhooks: verifies who sent a request, drops what it has already, and prints the events.

    pip install standardwebhooks
    WEBHOOK_SECRET=whsec_… python webhooks.py

While the secret is replaced the server signs with both, so one of them is enough here. Also read: PORT (8000).
"""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

webhook = Webhook(os.environ["WEBHOOK_SECRET"])
# In a product a table with a unique key, written in the transaction of what you do with the events. Ids may be
# forgotten after some days.
known: set[str] = set()
lock = Lock()


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        # The bytes as they came: parsed and written again, they would have another signature.
        body = self.rfile.read(int(self.headers["content-length"]))
        try:
            headers = {name.lower(): value for name, value in self.headers.items()}
            batch = webhook.verify(body, headers)
        except WebhookVerificationError as error:
            return self.answer(401, f"{error}\n")
        with lock:
            if headers["webhook-id"] not in known:
                known.add(headers["webhook-id"])
                data = batch["data"]
                for event in data["events"]:
                    print(json.dumps({"room": data["roomId"], "user": data.get("uid"), **event}), flush=True)
        self.answer(204)

    def answer(self, status: int, text: str = "") -> None:
        self.send_response(status)
        if text:
            self.send_header("content-length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "8000"))), Receiver)
    print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
