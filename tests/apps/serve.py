"""What the applications in Python have in common: how they start and end."""

import sys
import threading


def until_the_end_of_input(server):
    """Serves in threads, prints the port first, and ends with the standard input."""
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()
