import os
import sqlite3

from fastapi import FastAPI, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

webhook = Webhook(os.environ["MAILDIRQ_SIGNING_SECRET"])
DATABASE = os.environ.get("INBOUND_MAIL_DATABASE", "inbound-mail.sqlite3")
app = FastAPI()


@app.post("/inbound-mail", status_code=204)
async def inbound_mail(request: Request) -> None:
    body = await request.body()
    try:
        webhook.verify(body, dict(request.headers))
    except WebhookVerificationError as error:
        raise HTTPException(401, str(error))
    await run_in_threadpool(keep, request.headers["webhook-id"], body.decode())


def keep(id: str, message: str) -> None:
    """Keeps it once. An exception becomes a 500, and the mail comes again."""
    database = sqlite3.connect(DATABASE)
    with database:
        database.execute("CREATE TABLE IF NOT EXISTS inbound_mail (id TEXT PRIMARY KEY, message TEXT NOT NULL)")
        database.execute("INSERT INTO inbound_mail VALUES (?, ?) ON CONFLICT DO NOTHING", (id, message))
    database.close()
