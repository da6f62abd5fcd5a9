//! The tables of the file: where keys stand.

/// Where keys stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Top,
    Queue,
    Route,
    When,
    Target,
    Auth,
    Answers,
    Retry,
    Breaker,
    Secret,
    FormField,
    Web,
    Keep,
}

impl Place {
    pub const ALL: &[Place] = &[
        Place::Top,
        Place::Queue,
        Place::Route,
        Place::When,
        Place::Target,
        Place::Auth,
        Place::Answers,
        Place::Retry,
        Place::Breaker,
        Place::Secret,
        Place::FormField,
        Place::Web,
        Place::Keep,
    ];

    /// As people write it.
    pub fn title(self) -> &'static str {
        match self {
            Place::Top => "the top of the file",
            Place::Queue => "[queue.NAME]",
            Place::Route => "[[route]]",
            Place::When => "[route.when]",
            Place::Target => "[target.NAME]",
            Place::Auth => "[target.NAME.auth]",
            Place::Answers => "[target.NAME.answers]",
            Place::Retry => "[target.NAME.retry]",
            Place::Breaker => "[target.NAME.breaker]",
            Place::Secret => "a reference to a secret",
            Place::FormField => "[target.NAME.fields.FIELD]",
            Place::Web => "[web]",
            Place::Keep => "[keep]",
        }
    }

    /// As it is called in a sentence.
    pub fn located(self, title: &str) -> String {
        if self == Place::Top { format!("at {title}") } else { format!("in {title}") }
    }

    /// What it is for.
    pub fn about(self) -> &'static str {
        match self {
            Place::Top => "Settings of the whole, and what queues and targets have unless they say otherwise.",
            Place::Queue => {
                "Where mail comes from. Names here and below are made of letters, digits, `-` and `_`, at most 64 of them."
            }
            Place::Route => {
                "Which way mail goes: the first route that matches counts. Without any route all mail goes to the one target; mail that no route is for becomes dead (`no route`), it is never dropped."
            }
            Place::When => {
                "Which messages a route is for: all that is given must hold. A pattern is for the whole of a text, in any case: `*` is any text, `?` any one character; between slashes it is a regular expression that matches anywhere. Of several patterns in a list one is enough."
            }
            Place::Target => "Where mail goes: a `url`, a `command` or a `worker`.",
            Place::Auth => "What proves to a url whose a request is: `basic` and `password`, or `bearer`.",
            Place::Answers => {
                "Answers that mean something else than usual: HTTP statuses (`409`, `\"4xx\"`, `\"500-599\"`), or exit codes of a command (`75`, `\"64-78\"`)."
            }
            Place::Retry => {
                "How failures are tried again. `retry = \"sidekiq\"` is short for a `policy`, `retry = \"1m,5m*2,1h*3\"` for a `schedule`. Each wait is the longest one: what is waited is drawn between nothing and that."
            }
            Place::Breaker => "When a target counts as down. Its mail then waits, and no attempt is spent.",
            Place::Secret => {
                "A secret is best kept out of the file: `password = { credential = \"app_password\" }`. One newline at its end is taken off. Nothing is ever put into the middle of a text."
            }
            Place::FormField => "What a field of a form holds, beside plain text: something of the mail, or a secret.",
            Place::Web => {
                "Metrics for Prometheus at `/metrics`, and `/healthz` and `/readyz`, over HTTP. Off unless this table is there."
            }
            Place::Keep => "What is kept of mail that is done or dropped, and for how long.",
        }
    }
}
