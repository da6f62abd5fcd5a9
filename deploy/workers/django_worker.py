import json, os, sys  # a worker for maildirq, see docs/recipes/django-worker.md
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # whatever prints from here on prints into the log
import django
django.setup()
from django.db import close_old_connections
from inbound_mail.models import InboundMail


def work(job):
    has_rows = None
    try:
        close_old_connections()  # as at the beginning of a request
        has_rows = InboundMail.objects.exists()  # where this fails, no mail can be kept now
        if not job["mail"]["from"]:
            return {"type": "reject", "reason": "it does not say who it is from"}
        InboundMail.objects.get_or_create(id=job["id"], defaults={"message": json.dumps(job["mail"])})
        return {"type": "done"}  # also for a repeat, which finds its mail already there
    except Exception as error:
        return {"type": "retry", "outage": has_rows is None, "reason": repr(error)[:1000]}


print('{"type":"ready","version":1}', file=answers, flush=True)
for line in sys.stdin.buffer:
    try:
        if (job := json.loads(line))["type"] == "job":
            print(json.dumps({**work(job), "id": job["id"]}), file=answers, flush=True)
    except (ValueError, TypeError, KeyError) as error:
        print("passed over:", repr(error))
