use strict;
use warnings;
use DBI;

my $dsn = $ENV{INBOUND_MAIL_DSN} // die 'INBOUND_MAIL_DSN is not set';

sub keep {
    my ($id, $message) = @_;
    my $database = DBI->connect_cached($dsn, undef, undef, {RaiseError => 1});
    $database->do('CREATE TABLE IF NOT EXISTS inbound_mail (id VARCHAR(64) PRIMARY KEY, message TEXT NOT NULL)');
    $database->do('INSERT INTO inbound_mail VALUES (?, ?) ON CONFLICT DO NOTHING', undef, $id, $message);
}

sub {
    my ($env) = @_;
    my ($id, $length) = @$env{qw(HTTP_WEBHOOK_ID CONTENT_LENGTH)};
    return [400, ['Content-Type' => 'text/plain'], ["no mail\n"]] unless $id && $length;
    $env->{'psgi.input'}->read(my $message, $length);
    # A repeat changes nothing. Should the database fail, the answer is 500, and the mail comes again.
    keep $id, $message;
    return [204, [], []];
};
