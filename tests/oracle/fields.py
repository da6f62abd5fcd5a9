"""What Python's `email` package reads in each mail of a folder, as a line of JSON: fields.py FOLDER

Where its policy of today raises an exception, its old one is asked (compat32); where that does, too, the field is
left out.
"""

import base64
import datetime
import email
import email.header
import email.policy
import email.utils
import json
import pathlib
import sys

LEFT_OUT = object()
# As a message was, as far as that is kept.
AS_IT_WAS = email.policy.compat32.clone(max_line_length=0, mangle_from_=False)


def either(*ways):
    """The first that raises nothing."""
    for way in ways:
        try:
            return way()
        except Exception:  # noqa: BLE001: whatever a mail makes of it
            continue
    return LEFT_OUT


def decoded(value):
    return value if value is None else str(email.header.make_header(email.header.decode_header(value)))


def text_of(today, old, name):
    return either(lambda: today[name] and str(today[name]), lambda: decoded(old[name]))


def mailboxes(today, old, name):
    def by_today():
        field = today[name]
        return [[a.display_name, a.addr_spec] for a in field.addresses] if field else []

    def by_old():
        pairs = email.utils.getaddresses([str(value) for value in old.get_all(name, [])[:1]])
        return [[decoded(who), address] for who, address in pairs]

    return either(by_today, by_old)


def seconds(when):
    """A time without a zone is in UTC."""
    return int((when if when.tzinfo else when.replace(tzinfo=datetime.timezone.utc)).timestamp())


def date(today, old):
    def by_old():
        return seconds(email.utils.parsedate_to_datetime(old["date"])) if old["date"] else None

    return either(lambda: today["date"] and seconds(today["date"].datetime), by_old)


def leaves(part):
    """All parts without parts; a message within the message is one."""
    if part.get_content_maintype() == "multipart" and part.is_multipart():
        for inner in part.iter_parts():
            yield from leaves(inner)
    else:
        yield part


def content(part):
    if part.is_multipart():
        # message/rfc822 has one, message/delivery-status has many.
        return b"".join(inner.as_bytes(policy=AS_IT_WAS) for inner in part.get_payload())
    return part.get_payload(decode=True) or b""


def attachment(part):
    return [part.get_filename(), part.get_content_type(), base64.b64encode(content(part)).decode()]


def text(part):
    return None if part is None else part.get_content()


def fields(raw):
    today = email.message_from_bytes(raw, policy=email.policy.default)
    old = email.message_from_bytes(raw, policy=email.policy.compat32)
    plain, html = (either(lambda kind=kind: today.get_body((kind,))) for kind in ("plain", "html"))
    is_body = [id(plain), id(html)]
    found = {
        "subject": text_of(today, old, "subject"),
        "from": mailboxes(today, old, "from"),
        "to": mailboxes(today, old, "to"),
        "cc": mailboxes(today, old, "cc"),
        "reply_to": mailboxes(today, old, "reply-to"),
        "date": date(today, old),
        "message_id": text_of(today, old, "message-id"),
        "in_reply_to": text_of(today, old, "in-reply-to"),
        "references": text_of(today, old, "references"),
        "text": either(lambda: text(plain)),
        "html": either(lambda: text(html)),
        "attachments": either(lambda: [attachment(part) for part in leaves(today) if id(part) not in is_body]),
    }
    return {name: value for name, value in found.items() if value is not LEFT_OUT}


def main():
    for file in sorted(pathlib.Path(sys.argv[1]).iterdir()):
        line = json.dumps({"file": file.name} | fields(file.read_bytes()), ensure_ascii=False) + "\n"
        # A byte that is no text is half a surrogate pair to Python, which is nothing to others.
        line = line.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        sys.stdout.buffer.write(line.encode())


main()
