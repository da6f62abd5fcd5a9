"""Takes the mails out of archives: collect.py FOLDER ARCHIVE...

Each mail becomes a file of its own in FOLDER/mails, named after its package and its place there.
"""

import hashlib
import mailbox
import pathlib
import re
import sys
import tarfile
import tempfile

# Where each package has its mails.
PLACES = {
    "libpython": r"/test_email/data/msg_\d+\.txt$",
    "notmuch": r"/test/corpora/.*[^/]$",
    "bogofilter": r"/src/tests/inputs/.*\.(txt|mbx|[ns])$",
    "kmime": r"/autotests/data/mails/.*\.(mbox|eml)$",
    "libmail-deliverystatus": r"/t/corpus/[^/]+$",
    "flufl": r"/tests?/data/[^/]+\.(txt|eml)$",
}
LARGEST = 1 << 20
FIELD = re.compile(rb"[!-9;-~]+[ \t]*:")


def is_mail(content):
    """Two header fields at the beginning, below mbox's line perhaps."""
    lines = content.split(b"\n", 20)[:20]
    if lines[0].startswith(b"From "):
        lines = lines[1:]
    return len(content) <= LARGEST and bool(FIELD.match(lines[0])) and sum(map(bool, map(FIELD.match, lines))) >= 2


def split(content):
    """The mails of an mbox, or the one mail that it is."""
    if not content.startswith(b"From ") or not re.search(rb"\n\r?\nFrom .*\d\d:\d\d", content):
        return [content]
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        box = mailbox.mbox(file.name)
        return [box.get_bytes(key) for key in box.keys()]


def collect(folder, archive, seen):
    package, place = next((p, place) for p, place in PLACES.items() if archive.name.startswith(p))
    with tarfile.open(archive) as tar:
        for member in sorted((m for m in tar if m.isfile() and re.search(place, m.name)), key=lambda m: m.name):
            where = re.search(place, member.name)
            for number, mail in enumerate(split(tar.extractfile(member).read())):
                digest = hashlib.sha256(mail).digest()
                if digest in seen or not is_mail(mail):
                    continue
                seen.add(digest)
                # What changes with the version of the package is not in the name.
                name = re.sub(r"[^A-Za-z0-9.-]+", "_", f"{package}{where[0]}")
                (folder / (f"{name}.{number}" if number else name)).write_bytes(mail)


def main():
    folder = pathlib.Path(sys.argv[1]) / "mails"
    folder.mkdir()
    seen = set()
    for archive in sorted(map(pathlib.Path, sys.argv[2:])):
        collect(folder, archive, seen)
    print(f"{len(seen)} mails in {folder.resolve()}")


main()
