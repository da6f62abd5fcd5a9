import os
import sqlite3
from contextlib import closing

DATABASE = os.environ["INBOUND_MAIL_DATABASE"]


def app(environ, start_response):
    id = environ.get("HTTP_WEBHOOK_ID")
    message = environ["wsgi.input"].read()
    # gunicorn gives an app the beginning of a body, too, whose sender has died half-way.
    if not id or len(message) != int(environ.get("CONTENT_LENGTH") or 0):
        start_response("400 Bad Request", [("Content-Type", "text/plain")])
        return [b"no mail, or not the whole of it\n"]
    keep(id, message.decode())
    start_response("204 No Content", [])
    return []


def keep(id, message):
    """Keeps it once. An exception becomes a 500, and the mail comes again."""
    with closing(sqlite3.connect(DATABASE, timeout=20)) as database, database:
        database.execute("CREATE TABLE IF NOT EXISTS inbound_mail (id TEXT PRIMARY KEY, message TEXT NOT NULL)")
        database.execute("INSERT INTO inbound_mail VALUES (?, ?) ON CONFLICT DO NOTHING", (id, message))
