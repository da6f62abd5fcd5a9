<?php
// What the package laravel-mailbox demands of a request for its driver for Postmark. It is a router for `php -S`;
// INBOX is the file that it keeps the last mail in.
if ($_SERVER['REQUEST_METHOD'] !== 'POST' || $_SERVER['REQUEST_URI'] !== '/laravel-mailbox/postmark') {
    http_response_code(404);
    exit;
}
$given = [$_SERVER['PHP_AUTH_USER'] ?? null, $_SERVER['PHP_AUTH_PW'] ?? null];
if ($given !== ['laravel-mailbox', getenv('MAILBOX_HTTP_PASSWORD')]) {
    http_response_code(401);
    header('WWW-Authenticate: Basic realm=Mailer');
    exit;
}
$mail = json_decode(file_get_contents('php://input'), true)['RawEmail'] ?? null;
if (!is_string($mail) || trim($mail) === '') {
    // As Laravel does where what was sent does not hold.
    http_response_code(302);
    exit;
}
file_put_contents(getenv('INBOX'), $mail);
