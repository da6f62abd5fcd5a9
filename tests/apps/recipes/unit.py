"""Starts the server of a recipe as its unit says, until the standard input ends.

    ROOT=… UNIT=….service FILES='{"name": "file", …}' EDITS='{"this": "that", …}' python unit.py FOLDER

Its absolute paths are below ROOT, its own files are in its working directory. When it listens its process id is in
ROOT/pid, and 0 is printed: it has no port.
"""

import json
import os
import pathlib
import re
import shlex
import socket
import subprocess
import sys
import time

root = os.environ["ROOT"]


def below_root(text):
    for before, after in json.loads(os.environ["EDITS"]).items():
        assert before in text, f"{before} is not in {text}"
        text = text.replace(before, after)
    return re.sub("/(?=(?:run|srv|var/lib)/)", f"{root}/", text)


def listens(path):
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(path) == 0


unit = {}
for line in below_root(pathlib.Path(os.environ["UNIT"]).read_text()).splitlines():
    name, equals, value = line.partition("=")
    if equals:
        unit.setdefault(name, value)

folder, run, state = unit["WorkingDirectory"], f"{root}/run/{unit['RuntimeDirectory']}", unit["StateDirectory"]
for path in [folder, run, f"{root}/var/lib/{state}"]:
    os.makedirs(path, exist_ok=True)
for name, file in json.loads(os.environ["FILES"]).items():
    path = pathlib.Path(folder, name)
    if os.path.isdir(file):
        path.is_symlink() or path.symlink_to(file)
    else:
        path.write_text(re.sub("/(?=run/)", f"{root}/", pathlib.Path(file).read_text()))

name, _, value = unit["Environment"].partition("=")
server = subprocess.Popen(
    shlex.split(unit["ExecStart"]),
    cwd=folder,
    env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": sys.argv[1], name: value},
    umask=int(unit["UMask"], 8),
    stdin=subprocess.DEVNULL,
    stdout=sys.stderr,
)
while not listens(f"{run}/app.sock"):
    if server.poll() is not None:
        sys.exit(f"{server.args} has ended with {server.returncode}")
    time.sleep(0.02)
pathlib.Path(root, "pid").write_text(str(server.pid))
print(0, flush=True)
sys.stdin.read()
server.kill()
