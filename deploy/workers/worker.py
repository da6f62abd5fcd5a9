# A worker for maildirq, see docs/workers.md.
import json, os, re, sys

answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # whatever prints from here on prints into the log


def work(job):
    try:
        if not re.fullmatch("[0-9]{1,9}", job["detail"] or ""):
            return {"type": "reject", "reason": "no ticket in the recipient"}
        if not os.path.isdir(folder := f"{os.environ['TICKETS']}/{job['detail']}"):
            return {"type": "retry", "after": 60, "reason": f"there is no ticket {job['detail']} yet"}
        with open(job["path"].encode(), "rb") as mail, open(f"{folder}/.{job['id']}", "wb") as copy:
            copy.write(mail.read())
            os.fsync(copy.fileno())
        os.rename(copy.name, f"{folder}/{job['id']}")  # a repeat has the same id: it is the same file again
        return {"type": "done"}
    except Exception as error:
        return {"type": "retry", "reason": str(error)[:1000]}


print('{"type":"ready","version":1}', file=answers, flush=True)
for line in sys.stdin.buffer:
    try:
        if (job := json.loads(line))["type"] == "job":
            print(json.dumps({**work(job), "id": job["id"]}), file=answers, flush=True)
    except (ValueError, TypeError, KeyError) as error:
        print("passed over:", repr(error))
