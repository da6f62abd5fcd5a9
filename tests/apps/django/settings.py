"""project/settings.py of a project that a worker sets up, in the folder that it is started in. It keeps book in `boots`
of the processes that have read it.
"""

import os
import pathlib

print("=> Booting, and saying so where answers go")
with pathlib.Path("boots").open("a") as boots:
    boots.write(f"{os.getpid()}\n")

DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "mail.sqlite3"}}
INSTALLED_APPS = ["inbound_mail"]
SECRET_KEY = "only for tests"
