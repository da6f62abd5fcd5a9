#!/usr/bin/perl
use Mojolicious::Lite -signatures;
use DBI;
use Digest::SHA qw(hmac_sha256);
use Mojo::Util qw(b64_decode b64_encode secure_compare);

my ($secret) = ($ENV{MAILDIRQ_SIGNING_SECRET} // '') =~ /^whsec_(.+)/ or die 'MAILDIRQ_SIGNING_SECRET is not set';
my $key = b64_decode $secret;
length $key >= 24 or die 'MAILDIRQ_SIGNING_SECRET is no secret';
my $dsn = $ENV{INBOUND_MAIL_DSN} // 'dbi:SQLite:inbound-mail.sqlite3';
app->max_request_size(48 * 1024 * 1024);

sub is_signed ($request) {
    my ($id, $time, $given) = map { $request->headers->header("webhook-$_") // '' } qw(id timestamp signature);
    return 0 unless $time =~ /^\d+$/ && abs(time - $time) <= 300;
    my $expected = 'v1,' . b64_encode hmac_sha256("$id.$time." . $request->body, $key), '';
    return grep { secure_compare $_, $expected } split / /, $given;
}

post '/inbound-mail' => sub ($c) {
    return $c->render(text => 'not signed by our secret', status => 401) unless is_signed $c->req;
    # A repeat changes nothing. Should the database fail, the answer is 500, and the mail comes again.
    my $database = DBI->connect_cached($dsn, undef, undef, {RaiseError => 1});
    $database->do('CREATE TABLE IF NOT EXISTS inbound_mail (id VARCHAR(64) PRIMARY KEY, message TEXT NOT NULL)');
    $database->do('INSERT INTO inbound_mail VALUES (?, ?) ON CONFLICT DO NOTHING',
        undef, $c->req->headers->header('webhook-id'), $c->req->body);
    $c->rendered(204);
};

app->start;
