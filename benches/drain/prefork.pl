#!/usr/bin/perl
# The design of 2011: a few processes that stay, each of which listens to new/ by inotify, claims a message by flock,
# posts it over a connection that is kept alive, and removes it. What fails stays. Nothing is parsed, nothing is
# remembered, and nothing is tried again before a process is replaced.
#
#     prefork.pl MAILDIR URL PROCESSES [once]      # once: only what is there
use strict;
use warnings;
use Fcntl qw(:DEFAULT :flock);
use Furl::HTTP;
use Linux::Inotify2;
use Parallel::Prefork;

use constant MESSAGES_PER_PROCESS => 1000;

my ($maildir, $url, $processes, $once) = @ARGV;
chdir "$maildir/new" or die "$maildir/new: $!";

my $master = Parallel::Prefork->new({ max_workers => $processes, trap_signals => { TERM => 'TERM' } });
while ($master->signal_received ne 'TERM') {
    $master->start(\&process);
}
$master->wait_all_children;

sub process {
    my ($taken, $told) = (0, 0);
    local $SIG{TERM} = sub { $told = 1 };
    my $http    = Furl::HTTP->new(timeout => 30);
    my $inotify = Linux::Inotify2->new or die "inotify: $!";
    $inotify->watch('.', IN_MOVED_TO | IN_CLOSE_WRITE) or die "watch: $!";

    my $take = sub {
        my ($name) = @_;
        sysopen my $file, $name, O_RDONLY or return;    # gone
        flock $file, LOCK_EX | LOCK_NB or return;       # in another's hands
        (stat $file)[3] or return;                      # gone since it was opened
        local $/;
        my @type = ('Content-Type' => 'message/rfc822');
        my (undef, $status) = $http->request(method => 'POST', url => $url, headers => \@type, content => scalar <$file>);
        unlink $name if $status =~ /^2/;
        $taken++;
    };
    my $is_over = sub { $told || $taken >= MESSAGES_PER_PROCESS };

    opendir my $new, '.' or die "new: $!";
    while (!$is_over->() && defined(my $name = readdir $new)) {
        $take->($name) unless $name =~ /^\./;
    }
    kill TERM => getppid if $once && !$is_over->();
    return if $once;
    while (!$is_over->()) {
        for my $event ($inotify->read) {                # waits; a signal ends that
            $take->($event->name) if defined $event->name && !$is_over->();
        }
    }
}
