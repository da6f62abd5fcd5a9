"""A Django application with django-anymail's inbound webhooks: what one is that takes mail from Mailgun or Postmark,
without a line about maildirq.

    MAILGUN_SIGNING_KEY=… WEBHOOK_SECRET=user:password python app.py FOLDER

GET /inbound tells what it has got.
"""

import hashlib
import os
import pathlib
import socketserver
import sys
from wsgiref import simple_server

import django
from django.conf import settings

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    ANYMAIL={
        "MAILGUN_WEBHOOK_SIGNING_KEY": os.environ["MAILGUN_SIGNING_KEY"],
        "WEBHOOK_SECRET": os.environ["WEBHOOK_SECRET"],
    },
    INSTALLED_APPS=["anymail"],
    LOGGING={
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"stderr": {"class": "logging.StreamHandler"}},
        "root": {"handlers": ["stderr"]},
    },
    ROOT_URLCONF=__name__,
    SECRET_KEY="only for tests",
)
django.setup()

from anymail.exceptions import AnymailInvalidAddress  # noqa: E402: it needs the settings
from anymail.signals import inbound  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.dispatch import receiver  # noqa: E402
from django.http import JsonResponse  # noqa: E402
from django.urls import include, path  # noqa: E402

sys.path.append(str(pathlib.Path(__file__).parent.parent))
import serve  # noqa: E402

GOT = []


def described(part):
    return {
        "name": part.get_filename(),
        "type": part.get_content_type(),
        "sha256": hashlib.sha256(part.get_content_bytes()).hexdigest(),
    }


def mailboxes(message, field):
    """None where anymail refuses one of them."""
    try:
        return [[address.display_name, address.addr_spec] for address in message.get_address_header(field) or []]
    except AnymailInvalidAddress:
        return None


@receiver(inbound)
def take(sender, event, esp_name, **rest):
    message = event.message
    GOT.append(
        {
            "service": esp_name,
            "event_id": event.event_id,
            "timestamp": event.timestamp and event.timestamp.timestamp(),
            "envelope_sender": message.envelope_sender,
            "envelope_recipient": message.envelope_recipient,
            "from": mailboxes(message, "From"),
            "to": mailboxes(message, "To"),
            "cc": mailboxes(message, "Cc"),
            "subject": message.subject,
            "date": message.date and message.date.timestamp(),
            "message_id": message["Message-ID"],
            "text": message.text,
            "html": message.html,
            "stripped_text": message.stripped_text,
            "attachments": [described(part) for part in message.attachments],
            "inline": {content_id: described(part) for content_id, part in message.content_id_map.items()},
        }
    )


def told(request):
    return JsonResponse(GOT, safe=False)


urlpatterns = [path("anymail/", include("anymail.urls")), path("inbound", told)]


class Server(socketserver.ThreadingMixIn, simple_server.WSGIServer):
    daemon_threads = True


serve.until_the_end_of_input(simple_server.make_server("127.0.0.1", 0, get_wsgi_application(), server_class=Server))
