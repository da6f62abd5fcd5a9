//! Every key that the file knows, once: what it is for, what it takes, what it is unless given.
//!
//! This one table is behind the list of known keys, the defaults, `gen config`, the JSON Schema and
//! the pages of the documentation.

pub(super) use super::place::Place;
use crate::payload::Source;

/// A kind of target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum For {
    Url,
    Command,
    Worker,
}

/// What a key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Duration,
    /// A duration, or `forever`.
    Lifetime,
    Size,
    SizeBound,
    /// A number from 1 to this.
    Count(u32),
    Text,
    Character,
    Choice(&'static [&'static str]),
    /// One of these words, or several.
    Words(&'static [&'static str]),
    /// `true` or `false`.
    Flag,
    Rate,
    /// One path or several, with `*`.
    Maildirs,
    /// A program and its arguments.
    Program,
    /// One pattern or several.
    Patterns,
    /// HTTP statuses, or exit codes.
    Codes,
    /// One of them.
    Code,
    /// Text or a reference.
    Secret,
    /// One secret or several.
    Secrets,
    /// A table of form fields under names of the user's.
    FormFields,
    /// Text, a reference, or something of the mail.
    FormField,
    /// A table of secrets under names of the user's.
    Headers,
    /// A table of texts or references under names of environment variables.
    Variables,
    /// A table of patterns under names of the user's.
    HeaderPatterns,
    /// A table.
    One(Place),
    /// A table, or text that stands for one.
    OneOrText(Place),
    /// A table of tables under names of the user's.
    Named(Place),
    /// Several tables.
    Many(Place),
}

/// A key.
#[derive(Debug)]
pub(super) struct Key {
    pub name: &'static str,
    pub places: &'static [Place],
    pub kind: Kind,
    /// The kinds of target that it is for; of those that stand in none, all.
    pub targets: &'static [For],
    doc: &'static str,
    /// What it is unless given, as it is written.
    pub default: Option<&'static str>,
    /// The same for what is run here, a command or a worker, where that differs.
    pub default_of_program: Option<&'static str>,
    /// Something that it can be, as it is written.
    pub example: &'static str,
}

impl Key {
    /// What it is for, as one paragraph.
    pub fn doc(&self) -> &'static str {
        self.doc.trim_start()
    }

    /// The kinds of target that it is for: "a `url` or a `worker`".
    pub fn targets_in_words(&self) -> String {
        let kinds = self.targets.iter().map(|kind| match kind {
            For::Url => "a `url`",
            For::Command => "a `command`",
            For::Worker => "a `worker`",
        });
        kinds.collect::<Vec<_>>().join(" or ")
    }

    /// Whether it is for targets of every kind.
    pub fn is_for_all_targets(&self) -> bool {
        self.targets.len() == 3
    }

    /// The first sentence of that.
    pub fn summary(&self) -> &'static str {
        let doc = self.doc();
        doc.find(". ").map_or(doc, |end| &doc[..end]).trim_end_matches('.')
    }

    /// The keys that are known in a place.
    pub fn of(place: Place) -> impl Iterator<Item = &'static Key> {
        KEYS.iter().copied().filter(move |key| key.places.contains(&place))
    }
}

macro_rules! optional {
    () => {
        None
    };
    ($given:expr) => {
        Some($given)
    };
}

macro_rules! which {
    () => {
        &[For::Url, For::Command, For::Worker]
    };
    ($($kind:ident)+) => {
        &[$(For::$kind),+]
    };
}

macro_rules! keys {
    ($(
        $(#[doc = $doc:literal])+
        $constant:ident = $name:literal in $($place:ident)|+ $(of $($target:ident)|+)?: $kind:expr
        $(, default $default:literal)? $(, of a program $of_program:literal)?, as $example:literal;
    )+) => {
        $(
            $(#[doc = $doc])+
            pub(super) static $constant: Key = Key {
                name: $name,
                places: &[$(Place::$place),+],
                kind: $kind,
                targets: which!($($($target)+)?),
                doc: concat!($($doc),+),
                default: optional!($($default)?),
                default_of_program: optional!($($of_program)?),
                example: $example,
            };
        )+
        /// All of them.
        pub(super) static KEYS: &[&Key] = &[$(&$constant),+];
    };
}

keys! {
    /// The Maildir that mail is taken from, by its whole path, or a list of them. `*`, `?` and `[a-z]` stand for names
    /// as they do in a shell, so that one line is for all users; Maildir++ folders are named like any other. A `~` is
    /// not expanded. At the top of the file it is short for one queue, `[queue.main]`.
    MAILDIR = "maildir" in Top | Queue: Kind::Maildirs, as r#""/var/lib/maildirq/support""#;
    /// How many messages a target is given at a time. At the top of the file: targets that do not say otherwise.
    CONCURRENCY = "concurrency" in Top | Target of Url | Command: Kind::Count(10_000), default "8", as "4";
    /// How often `new/` is looked at for mail that no event told of.
    RESCAN = "rescan" in Top | Queue: Kind::Duration, default r#""30s""#, as r#""10s""#;
    /// How long running attempts may go on after SIGTERM.
    SHUTDOWN_TIMEOUT = "shutdown_timeout" in Top: Kind::Duration, default r#""30s""#, as r#""5m""#;
    /// Larger messages are set aside.
    MAX_SIZE = "max_size" in Top | Queue: Kind::Size, default r#""256MiB""#, as r#""25MB""#;
    /// What becomes of done mail: it is removed, or moved to `.maildirq.done`.
    DONE = "done" in Top | Queue: Kind::Choice(&["remove", "keep"]), default r#""remove""#, as r#""keep""#;
    /// The envelope's recipient of mail that tells none. That is mail which fetchmail brought, or a file that was
    /// copied into the Maildir.
    RECIPIENT = "recipient" in Top | Queue: Kind::Text, as r#""support@example.com""#;
    /// What qmail puts before the recipients of a virtual domain, to be taken off.
    STRIP_PREFIX = "strip_prefix" in Top | Queue: Kind::Text, as r#""example.com-""#;
    /// What separates the detail from the rest of a recipient's local part. For qmail it is `-`.
    RECIPIENT_DELIMITER = "recipient_delimiter" in Top | Queue: Kind::Character, default r#""+""#, as r#""-""#;
    /// The queues, each under its name.
    QUEUES = "queue" in Top: Kind::Named(Place::Queue), as r#"{ support = { maildir = "/var/lib/maildirq/support" } }"#;
    /// The routes, in their order.
    ROUTES = "route" in Top: Kind::Many(Place::Route), as r#"[{ target = "app" }]"#;
    /// The targets, each under its name.
    TARGETS = "target" in Top: Kind::Named(Place::Target), as r#"{ app = { url = "https://app.example.com/inbound" } }"#;
    /// What is told over HTTP.
    WEB = "web" in Top: Kind::One(Place::Web), as r#"{ listen = "127.0.0.1:8026" }"#;
    /// What is kept of done and dropped mail.
    KEEP = "keep" in Top: Kind::One(Place::Keep), as r#"{ history = "7d" }"#;

    /// The name of the route in logs. Unless given it is the target's.
    ROUTE_NAME = "name" in Route: Kind::Text, as r#""invoices""#;
    /// Which messages it is for; every message unless given.
    WHEN = "when" in Route: Kind::One(Place::When), as r#"{ to = "support+*@example.com" }"#;
    /// The name of the target. `ignore` takes mail, which is then removed or kept as `done` has it.
    ROUTE_TARGET = "target" in Route: Kind::Text, as r#""app""#;

    /// The envelope's recipient.
    WHEN_TO = "to" in When: Kind::Patterns, as r#"["support@example.com", "support+*@example.com"]"#;
    /// The envelope's sender; that of a bounce is written `<>`.
    WHEN_FROM = "from" in When: Kind::Patterns, as r#""*@example.org""#;
    /// What stands behind the delimiter in the recipient's local part.
    WHEN_DETAIL = "detail" in When: Kind::Patterns, as r#""/^[0-9]+$/""#;
    /// The name of the queue.
    WHEN_QUEUE = "queue" in When: Kind::Patterns, as r#""support""#;
    /// What kind of mail it is, as the header tells: `human`, `auto_reply` (out of office, ticket received), `bounce`,
    /// `list` (mailing lists, bulk mail) or `report` (DMARC, abuse, read receipts).
    WHEN_KIND = "kind" in When: Kind::Words(&["human", "auto_reply", "bounce", "list", "report"]), as r#"["bounce", "auto_reply"]"#;
    /// The subject, decoded.
    WHEN_SUBJECT = "subject" in When: Kind::Patterns, as r#""*invoice*""#;
    /// Whether a file is attached. Signatures, pictures that the HTML shows, and parts to be shown that have no name are
    /// none. Mail that is too large (26 MiB) or too odd to be parsed is neither `true` nor `false`.
    WHEN_HAS_ATTACHMENT = "has_attachment" in When: Kind::Flag, as "true";
    /// The length of the message.
    WHEN_SIZE = "size" in When: Kind::SizeBound, as r#"">5MB""#;
    /// Header fields of the message, each under its name, their values decoded; one of several with that name is enough.
    WHEN_HEADER = "header" in When: Kind::HeaderPatterns, as r#"{ X-Spam-Flag = "YES*" }"#;

    /// Each message is sent there by POST. `http://…`, `https://…`, `unix:/SOCKET` or `unix:/SOCKET:/PATH`; it can be a
    /// reference, as secrets can.
    URL = "url" in Target of Url: Kind::Secret, as r#""https://app.example.com/inbound""#;
    /// A program that is run for each message, and its arguments. There is no shell. A program without a `/` is looked
    /// for in `PATH`.
    COMMAND = "command" in Target of Command: Kind::Program, as r#"["/usr/local/bin/record", "--mail"]"#;
    /// A program that stays, and its arguments: each of its processes is given one message after the other. What they
    /// say to each other is told in `docs/workers.md`.
    WORKER = "worker" in Target of Worker: Kind::Program, as r#"["ruby", "/srv/app/worker.rb"]"#;
    /// How many processes of the worker there are; each works on one message at a time.
    PROCESSES = "processes" in Target of Worker: Kind::Count(1_000), default "2", as "4";
    /// The bound on a start of a worker, until it says that it is ready.
    START_TIMEOUT = "start_timeout" in Target of Worker: Kind::Duration, default r#""60s""#, as r#""3m""#;
    /// A process is replaced when it has worked on so many messages, or up to a tenth less, so that not all leave at once.
    MAX_JOBS = "max_jobs" in Target of Worker: Kind::Count(1_000_000_000), as "1000";
    /// A process is replaced when its resident memory is above this after a message.
    MAX_RSS = "max_rss" in Target of Worker: Kind::Size, as r#""512MiB""#;
    /// A process is replaced when it is so old, or up to a tenth younger.
    MAX_AGE = "max_age" in Target of Worker: Kind::Duration, as r#""1d""#;
    /// Whether a job holds the parsed message, too: the object that `format = "json"` sends.
    PARSED = "parsed" in Target of Worker: Kind::Flag, default "false", as "true";
    /// The working directory, by its whole path. Unless given it is maildirq's own.
    DIRECTORY = "directory" in Target of Command | Worker: Kind::Text, as r#""/srv/app""#;
    /// The user that it runs as, where maildirq is started as root. Unless given it is who maildirq is.
    USER = "user" in Target of Command | Worker: Kind::Text, as r#""app""#;
    /// The group that it runs as, where there is a `user`. Unless given it is that user's own.
    GROUP = "group" in Target of Command | Worker: Kind::Text, as r#""www-data""#;
    /// What its environment holds beside the usual, each under its name.
    ENVIRONMENT = "environment" in Target of Command | Worker: Kind::Variables, as r#"{ RAILS_ENV = "production", KEY = { env = "APP_KEY" } }"#;
    /// How much memory each of its processes may have: its address space (`RLIMIT_AS`), which may be far more than
    /// what it uses.
    MAX_MEMORY = "max_memory" in Target of Command: Kind::Size, as r#""1GiB""#;
    /// How much CPU time each of its processes may use (`RLIMIT_CPU`), in whole seconds.
    MAX_CPU = "max_cpu" in Target of Command: Kind::Duration, as r#""20s""#;
    /// How much it may write on standard output and standard error together.
    MAX_OUTPUT = "max_output" in Target of Command: Kind::Size, as r#""10MiB""#;
    /// Of an extension that begins with this the rest is `DEFAULT`, as qmail has it. What `.qmail-support-default` did
    /// has `support-`.
    DEFAULT_PREFIX = "default_prefix" in Target of Command: Kind::Text, as r#""support-""#;
    /// The bound on one attempt: on the header of the answer being complete, on the program, or on the worker's answer.
    TIMEOUT = "timeout" in Target: Kind::Duration, default r#""30s""#, of a program r#""5m""#, as r#""10s""#;
    /// The bound on making a connection, TLS included.
    CONNECT_TIMEOUT = "connect_timeout" in Target of Url: Kind::Duration, default r#""10s""#, as r#""3s""#;
    /// How long an idle connection is kept. It should be less than the server keeps its own.
    IDLE_TIMEOUT = "idle_timeout" in Target of Url: Kind::Duration, default r#""4s""#, as r#""1s""#;
    /// How long connections are used at all, so that a change of DNS is seen.
    MAX_CONNECTION_AGE = "max_connection_age" in Target of Url: Kind::Duration, default r#""5m""#, as r#""1h""#;
    /// In what shape a message is sent: `raw` is the message itself (`message/rfc822`), `json` our own object, `form`
    /// fields of your choice, `mailgun`, `mailgun-mime` and `postmark` what those services send.
    FORMAT = "format" in Target of Url: Kind::Choice(FORMATS), default r#""raw""#, as r#""json""#;
    /// With `raw`: whether the envelope's recipient is put on top as `X-Original-To`, where the delivery has not done so.
    /// Rails routes mail by it whose recipient stands in no `To` or `Cc`.
    ADD_ORIGINAL_TO = "add_original_to" in Target of Url: Kind::Flag, default "false", as "true";
    /// With `json` or `parsed`: attachments as base64 in the object, only described, or (`json` only) as parts of a
    /// `multipart/form-data` beside it.
    ATTACHMENTS = "attachments" in Target of Url | Worker: Kind::Choice(&["inline", "omit", "multipart"]), default r#""inline""#, as r#""multipart""#;
    /// With `json` or `parsed`: attachments larger than this are only described. Unless given all are sent. The whole of a text that
    /// is cut (above 1 MiB) is sent in any case.
    DESCRIBE_ABOVE = "describe_above" in Target of Url | Worker: Kind::Size, as r#""10MiB""#;
    /// With `form`: how its fields are written.
    ENCODING = "encoding" in Target of Url: Kind::Choice(&["multipart", "urlencoded"]), default r#""multipart""#, as r#""urlencoded""#;
    /// With `form`: its fields, each under its name: text, a reference to a secret, or `{ mail = … }` for something of
    /// the mail.
    FIELDS = "fields" in Target of Url: Kind::FormFields, as r#"{ key = { env = "APP_KEY" }, email = { mail = "raw" } }"#;
    /// With `mailgun` and `mailgun-mime`: the key that `signature` is made with.
    SIGNING_KEY = "signing_key" in Target of Url: Kind::Secret, as r#"{ env = "MAILGUN_SIGNING_KEY" }"#;
    /// With `mailgun` and `mailgun-mime`: the time that is signed. With `arrival` the body is the same at each attempt;
    /// a receiver that refuses old timestamps needs `attempt`.
    TIMESTAMP = "timestamp" in Target of Url: Kind::Choice(&["arrival", "attempt"]), default r#""arrival""#, as r#""attempt""#;
    /// With `postmark`: whether the whole message is in `RawEmail`, too.
    RAW_EMAIL = "raw_email" in Target of Url: Kind::Flag, default "false", as "true";
    /// Signs each request as Standard Webhooks 1.0 has it: one secret (`whsec_…`) or several, of which a receiver needs
    /// one, so that they can be exchanged.
    SIGN = "sign" in Target of Url: Kind::Secrets, as r#"[{ env = "WEBHOOK_SECRET" }]"#;
    /// The file of a certificate, and those that lead to its authority, as PEM: it proves to an `https://` server who we
    /// are.
    CLIENT_CERTIFICATE = "client_certificate" in Target of Url: Kind::Text, as r#""/etc/maildirq/client.pem""#;
    /// The file of that certificate's private key, as PEM.
    CLIENT_KEY = "client_key" in Target of Url: Kind::Text, as r#""/etc/maildirq/client.key""#;
    /// An HTTP proxy, by its URL. Those of the environment are not used.
    PROXY = "proxy" in Target of Url: Kind::Secret, as r#""http://127.0.0.1:3128""#;
    /// What proves whose a request is.
    AUTH = "auth" in Target of Url: Kind::One(Place::Auth), as r#"{ basic = "maildirq", password = { credential = "app_password" } }"#;
    /// More headers for each request, each under its name.
    HEADERS = "headers" in Target of Url: Kind::Headers, as r#"{ Api-Key = { env = "APP_KEY" } }"#;
    /// How many attempts begin in a time: `N/s`, `N/m`, `N/h` or `N/d`. Unless given there is no bound.
    RATE = "rate" in Target: Kind::Rate, as r#""10/s""#;
    /// Answers that mean something else than usual.
    ANSWERS = "answers" in Target of Url | Command: Kind::One(Place::Answers), as "{ reject = [403] }";
    /// How failures are tried again.
    RETRY = "retry" in Target: Kind::OneOrText(Place::Retry), as r#"{ for = "1d" }"#;
    /// When it counts as down.
    BREAKER = "breaker" in Target: Kind::One(Place::Breaker), as "{ after = 10 }";
    /// A program that is run for each message that has died here, and its arguments. It gets 30 seconds.
    ON_DEAD = "on_dead" in Target: Kind::Program, as r#"["/usr/local/bin/page"]"#;

    /// The user's name (RFC 7617).
    BASIC = "basic" in Auth: Kind::Text, as r#""maildirq""#;
    /// The user's password.
    PASSWORD = "password" in Auth: Kind::Secret, as r#"{ credential = "app_password" }"#;
    /// A token (RFC 6750).
    BEARER = "bearer" in Auth: Kind::Secret, as r#"{ file = "/etc/maildirq/app.token" }"#;

    /// The message is taken.
    ANSWERS_DONE = "done" in Answers: Kind::Codes, as "[409]";
    /// The message is refused for good: it is dead.
    ANSWERS_REJECT = "reject" in Answers: Kind::Codes, as "[403]";
    /// The message is tried again.
    ANSWERS_RETRY = "retry" in Answers: Kind::Codes, as r#"[422, "450-459"]"#;

    /// The policy of a system that people know. `sidekiq`, `standard-webhooks`, `postfix`, `qmail`, `mox`, `mailgun` or
    /// `postmark`; limits given beside it count instead of its own.
    POLICY = "policy" in Retry: Kind::Text, as r#""sidekiq""#;
    /// The waits one after the other, each as often as its asterisk says. After the last one the message is dead,
    /// unless a limit is given.
    SCHEDULE = "schedule" in Retry: Kind::Text, as r#""1m,5m*2,1h*3""#;
    /// The wait after the first failure; it doubles with each.
    MIN_DELAY = "min_delay" in Retry: Kind::Duration, default r#""5s""#, as r#""1s""#;
    /// No wait is longer.
    MAX_DELAY = "max_delay" in Retry: Kind::Duration, default r#""1h""#, as r#""10m""#;
    /// A message is dead when its own failures have gone on for this long, or `forever`. With a `policy` or a
    /// `schedule` the default is theirs.
    RETRY_FOR = "for" in Retry: Kind::Lifetime, default r#""3d""#, as r#""1d""#;
    /// A message is dead when it has failed this often by its own fault. Unless given there is no bound, or that of
    /// the `policy` or the `schedule`.
    ATTEMPTS = "attempts" in Retry: Kind::Count(1_000_000), as "12";

    /// Failures of the target in a row.
    BREAKER_AFTER = "after" in Breaker: Kind::Count(1_000_000), default "5", as "10";
    /// The time between probes, give or take a quarter.
    PROBE = "probe" in Breaker: Kind::Duration, default r#""30s""#, as r#""2m""#;

    /// The environment variable that holds it.
    ENV = "env" in Secret | FormField: Kind::Text, as r#""APP_KEY""#;
    /// The file that holds it, by its whole path.
    FILE = "file" in Secret | FormField: Kind::Text, as r#""/etc/maildirq/app.token""#;
    /// The name of a credential of systemd (`LoadCredential=`, `LoadCredentialEncrypted=`).
    CREDENTIAL = "credential" in Secret | FormField: Kind::Text, as r#""app_password""#;

    /// Something of the mail. `raw` is the message itself, `raw_crlf` with lines that end in CRLF, `raw_base64` in
    /// base64; `json` is all that `format = "json"` would send. Of the others each is the text of that name.
    MAIL = "mail" in FormField: Kind::Choice(&SOURCES), as r#""raw""#;

    /// Where HTTP is listened for: an address and a port, or `unix:/SOCKET`. What is not this machine alone can only be
    /// listened on with a `token`. A change takes effect at a reload.
    LISTEN = "listen" in Web: Kind::Text, default r#""127.0.0.1:8026""#, as r#""unix:/run/maildirq/web.sock""#;
    /// What `/metrics` must be asked with, as `Authorization: Bearer …` (RFC 6750). `/healthz` and `/readyz` need none.
    TOKEN = "token" in Web: Kind::Secret, as r#"{ credential = "metrics_token" }"#;

    /// How long it is remembered which mail was done: when, from and to whom, its subject, and which target took it;
    /// nothing of its text. Unless given nothing is.
    HISTORY = "history" in Keep: Kind::Duration, as r#""7d""#;
    /// How much of that is kept of each Maildir. What is oldest goes first.
    HISTORY_SIZE = "history_size" in Keep: Kind::Size, default r#""100MB""#, as r#""1GB""#;
    /// How long mail stays in the trash that a person has dropped, or `forever`.
    TRASH = "trash" in Keep: Kind::Lifetime, default r#""14d""#, as r#""30d""#;
}

/// What a field of a form can hold of a mail.
static SOURCES: [&str; Source::ALL.len()] = {
    let mut names = [""; Source::ALL.len()];
    let mut place = 0;
    while place < names.len() {
        names[place] = Source::ALL[place].0;
        place += 1;
    }
    names
};

/// The shapes in which a message can be sent.
pub(super) const FORMATS: &[&str] = &["raw", "json", "form", "mailgun", "mailgun-mime", "postmark"];

impl Kind {
    /// What stands in a list, or under names of the user's.
    pub fn of_each(self) -> Kind {
        match self {
            Kind::Maildirs | Kind::Program | Kind::Patterns => Kind::Text,
            Kind::Codes => Kind::Code,
            Kind::Words(words) => Kind::Choice(words),
            Kind::Headers | Kind::Variables | Kind::Secrets => Kind::Secret,
            Kind::FormFields => Kind::FormField,
            Kind::HeaderPatterns => Kind::Patterns,
            Kind::Named(place) | Kind::Many(place) => Kind::One(place),
            other => other,
        }
    }

    /// What is expected, in words.
    pub fn expected(self) -> String {
        match self {
            Kind::Duration => "a duration such as \"10s\", \"5m\" or \"3d\"".into(),
            Kind::Lifetime => "a duration such as \"3d\", or \"forever\"".into(),
            Kind::Size => "a size such as \"25MB\" or \"64KiB\"".into(),
            Kind::SizeBound => "a bound such as \">5MB\" or \"<=64KiB\"".into(),
            Kind::Count(most) => format!("a whole number from 1 to {most}"),
            Kind::Text => "a string".into(),
            Kind::Character => "a string of one character".into(),
            Kind::Choice(words) => {
                let words: Vec<_> = words.iter().map(|word| format!("\"{word}\"")).collect();
                let (last, others) = words.split_last().expect("there is a choice");
                format!("{} or {last}", others.join(", "))
            }
            Kind::Words(_) => format!("{}, or a list of these", self.of_each().expected()),
            Kind::Flag => "true or false".into(),
            Kind::Rate => "a rate such as \"10/s\"".into(),
            Kind::Maildirs => "a path, or a list of paths".into(),
            Kind::Program => "a list of strings: a program and its arguments".into(),
            Kind::Patterns => "a pattern, or a list of patterns".into(),
            Kind::Codes => "a list such as [75, \"64-78\"]".into(),
            Kind::Code => "a code such as 75, or a range such as \"64-78\"".into(),
            Kind::Secret => "a string, or a reference such as { env = \"NAME\" }".into(),
            Kind::Secrets => "a reference such as { env = \"NAME\" }, or a list of them".into(),
            Kind::FormField => "a string, a reference such as { env = \"NAME\" }, or { mail = \"raw\" }".into(),
            Kind::Headers | Kind::Variables => "a table of texts or references".into(),
            Kind::FormFields => "a table of texts, references, or parts of the mail such as { mail = \"raw\" }".into(),
            Kind::HeaderPatterns => "a table of patterns".into(),
            Kind::One(_) => "a table".into(),
            Kind::OneOrText(_) => "a string or a table".into(),
            Kind::Named(place) => format!("tables {}", place.title()),
            Kind::Many(place) => format!("a list of tables {}", place.title()),
        }
    }
}
