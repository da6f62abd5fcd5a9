"""A Django project with the app of docs/recipes/django.md.

    INBOUND_MAIL_DATABASE=… python django_project.py FOLDER
"""

import os
import pathlib
import shutil
import socketserver
import sys
from wsgiref import simple_server

import django
from django.conf import settings
from django.core import management
from django.core.wsgi import get_wsgi_application

HERE = pathlib.Path(__file__)
RECIPE = HERE.parents[3] / "deploy/apps"
PACKAGE = pathlib.Path(sys.argv[1], "inbound_mail")

PACKAGE.mkdir()
(PACKAGE / "__init__.py").touch()
for name in ["models", "views"]:
    shutil.copy(RECIPE / f"django_{name}.py", PACKAGE / f"{name}.py")
sys.path += [str(PACKAGE.parent), str(HERE.parents[1])]

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["INBOUND_MAIL_DATABASE"]}},
    DATA_UPLOAD_MAX_MEMORY_SIZE=48 * 1024 * 1024,
    INSTALLED_APPS=["inbound_mail"],
    MIDDLEWARE=["django.middleware.csrf.CsrfViewMiddleware"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="only for tests",
)
django.setup()
management.call_command("migrate", run_syncdb=True, stdout=sys.stderr)

import serve  # noqa: E402
from django.urls import path  # noqa: E402
from inbound_mail.views import inbound_mail  # noqa: E402: it needs the settings

urlpatterns = [path("inbound-mail/", inbound_mail)]


class Server(socketserver.ThreadingMixIn, simple_server.WSGIServer):
    daemon_threads = True


serve.until_the_end_of_input(simple_server.make_server("127.0.0.1", 0, get_wsgi_application(), server_class=Server))
