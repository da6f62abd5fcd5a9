# A worker for maildirq, see docs/workers.md.
use v5.20;
use warnings;
use File::Copy qw(copy);
use JSON::PP;

open my $answers, '>&', \*STDOUT or die $!;
open STDOUT, '>&', \*STDERR or die $!;    # whatever prints from here on prints into the log
$answers->autoflush;

sub work {
    my ($id, $ticket, $path) = @{$_[0]}{qw(id detail path)};
    return {type => 'reject', reason => 'no ticket in the recipient'} unless ($ticket // '') =~ /\A[0-9]{1,9}\z/;
    return {type => 'retry', after => 60, reason => "there is no ticket $ticket yet"} unless -d "$ENV{TICKETS}/$ticket";
    utf8::encode $path;
    open my $copy, '>', "$ENV{TICKETS}/$ticket/.$id" or die "cannot write: $!\n";
    copy $path, $copy and $copy->flush and $copy->sync or die "cannot copy: $!\n";
    # A repeat has the same id: it is the same file again.
    rename "$ENV{TICKETS}/$ticket/.$id", "$ENV{TICKETS}/$ticket/$id" or die "cannot rename: $!\n";
    return {type => 'done'};
}

say $answers '{"type":"ready","version":1}';
while (my $line = <STDIN>) {
    my $job = eval { decode_json $line };
    next unless ref $job eq 'HASH' && ($job->{type} // '') eq 'job';
    my $answer = eval { work($job) } // {type => 'retry', reason => substr $@, 0, 1000};
    say $answers encode_json {%$answer, id => $job->{id}};
}
