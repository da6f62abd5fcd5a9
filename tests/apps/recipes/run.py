"""Runs the code of a recipe by the command that the recipe has for it.

    COMMAND='["uvicorn", "--port", "{port}", …]' python run.py FOLDER

The command gets a free port, in PORT too; that is printed as soon as somebody listens there.
"""

import json
import os
import socket
import subprocess
import sys
import time


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def listens(port):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


port = free_port()
command = [word.replace("{port}", str(port)) for word in json.loads(os.environ["COMMAND"])]
environment = {**os.environ, "PORT": str(port)}
program = subprocess.Popen(command, cwd=sys.argv[1], env=environment, stdin=subprocess.DEVNULL, stdout=sys.stderr)
while not listens(port):
    if program.poll() is not None:
        sys.exit(f"{command} has ended with {program.returncode}")
    time.sleep(0.02)
print(port, flush=True)
sys.stdin.read()
program.kill()
