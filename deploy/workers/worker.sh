# A worker for maildirq, see docs/workers.md.
exec 4>&1 >&2 # whatever prints from here on prints into the log; 3 is maildirq's

found() { printf '%s\n' "$line" | sed -nE "s/$1/\\1/p"; }
answer() { printf "{\"type\":\"$1\",\"id\":\"$id\"$2}\n" "$ticket" >&4; }

keep() {
    cp -- "$path" "$folder/.$id" && sync "$folder/.$id" &&
        mv -- "$folder/.$id" "$folder/$id" # a repeat has the same id: it is the same file again
}

printf '{"type":"ready","version":1}\n' >&4
while IFS= read -r line; do
    id=$(found '^\{"type":"job","id":"([a-z0-9]+)".*')
    [ "$id" ] || continue
    path=$(found '.*,"path":"(([^"\\]|\\.)*)".*' | sed 's/\\\(.\)/\1/g')
    ticket=$(found '.*,"detail":"([0-9]{1,9})".*')
    folder=$TICKETS/$ticket
    if [ -z "$ticket" ]; then
        answer reject ',"reason":"no ticket in the recipient"'
    elif ! [ -d "$folder" ]; then
        answer retry ",\"after\":60,\"reason\":\"there is no ticket $ticket yet\""
    elif keep; then
        answer 'done' ''
    else
        answer retry ',"reason":"it cannot be kept: see the log"'
    fi
done
