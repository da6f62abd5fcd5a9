"""A receiver of Standard Webhooks, as their own library has it.

    SECRETS='{"NAME": "whsec_…"}' python app.py FOLDER

What is posted to /NAME has to be signed by that secret: 204, or 401 with the reason.
"""

import http.server
import json
import os
import pathlib
import sys

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

sys.path.append(str(pathlib.Path(__file__).parent.parent))
import serve  # noqa: E402

SECRETS = json.loads(os.environ["SECRETS"])


class Receiver(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        try:
            Webhook(SECRETS[self.path[1:]]).verify(body, dict(self.headers), json_parse=False)
        except WebhookVerificationError as error:
            self.say(401, str(error).encode())
        else:
            self.say(204)

    def say(self, status, reason=b""):
        self.send_response(status)
        if status != 204:
            self.send_header("content-length", str(len(reason)))
        self.end_headers()
        self.wfile.write(reason)


serve.until_the_end_of_input(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver))
