<?php // A worker for maildirq, see docs/workers.md.
ob_start(fn ($text) => fwrite(STDERR, $text) ? '' : '', 1); // whatever prints from here on prints into the log
set_error_handler(fn ($kind, $text) => throw new ErrorException($text));

function work(string $id, ?string $ticket, string $path): array
{
    if (!preg_match('/^[0-9]{1,9}$/D', $ticket ?? '')) {
        return ['type' => 'reject', 'reason' => 'no ticket in the recipient'];
    }
    if (!is_dir($folder = getenv('TICKETS') . "/$ticket")) {
        return ['type' => 'retry', 'after' => 60, 'reason' => "there is no ticket $ticket yet"];
    }
    stream_copy_to_stream(fopen($path, 'r'), $copy = fopen("$folder/.$id", 'w'));
    fsync($copy);
    rename("$folder/.$id", "$folder/$id"); // a repeat has the same id: it is the same file again
    return ['type' => 'done'];
}

fwrite(STDOUT, "{\"type\":\"ready\",\"version\":1}\n");
while (($line = fgets(STDIN)) !== false) {
    $job = json_decode($line, true);
    if (!is_array($job) || ($job['type'] ?? '') !== 'job') continue;
    try {
        $answer = work($job['id'], $job['detail'], $job['path']);
    } catch (Throwable $error) {
        $answer = ['type' => 'retry', 'reason' => substr($error->getMessage(), 0, 1000)];
    }
    fwrite(STDOUT, json_encode($answer + ['id' => $job['id']], JSON_INVALID_UTF8_SUBSTITUTE) . "\n");
}
