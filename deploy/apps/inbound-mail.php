<?php
// Whatever goes wrong below, the mail comes again; with display_errors PHP would say 200 even when it has failed.
http_response_code(500);

preg_match('/^whsec_(.+)$/', (string) getenv('MAILDIRQ_SIGNING_SECRET'), $secret);
$key = (string) base64_decode($secret[1] ?? '', true);
strlen($key) >= 24 || exit('MAILDIRQ_SIGNING_SECRET is no secret');
$body = file_get_contents('php://input');
[$id, $time, $given] = array_map(fn ($name) => $_SERVER["HTTP_WEBHOOK_$name"] ?? '', ['ID', 'TIMESTAMP', 'SIGNATURE']);
$expected = 'v1,' . base64_encode(hash_hmac('sha256', "$id.$time.$body", $key, true));
$isExpected = fn ($signature) => hash_equals($expected, $signature);
if (abs(time() - (int) $time) > 300 || !array_filter(explode(' ', $given), $isExpected)) {
    http_response_code(401);
    exit('not signed by our secret');
}

// A repeat changes nothing.
$dsn = getenv('INBOUND_MAIL_DSN') ?: 'sqlite:' . __DIR__ . '/../inbound-mail.sqlite3';
$database = new PDO($dsn, null, null, [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION]);
$database->exec('CREATE TABLE IF NOT EXISTS inbound_mail (id VARCHAR(64) PRIMARY KEY, message TEXT NOT NULL)');
$database->prepare('INSERT INTO inbound_mail VALUES (?, ?) ON CONFLICT DO NOTHING')->execute([$id, $body]);
http_response_code(204);
