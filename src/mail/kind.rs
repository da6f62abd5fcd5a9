//! Whether a person wrote it.
//!
//! There is no field that tells, but many that give a hint. The first of these rules that holds decides:
//!
//! | what the mail has | kind |
//! |---|---|
//! | `multipart/report` with a `report-type` other than `delivery-status` (RFC 6522): a receipt (RFC 8098), a complaint (RFC 5965); `TLS-Report-Domain` (RFC 8460); DMARC's subject (RFC 7489 section 7.2.1.1) | `report` |
//! | `multipart/report` else (RFC 3464); `X-Failed-Recipients` (Exim, Gmail); `MAILER-DAEMON` in `From` | `bounce` |
//! | `Auto-Submitted: auto-replied` (RFC 3834); `X-Autoreply` and the like; `Precedence: auto_reply`; Exchange's out of office | `auto_reply` |
//! | `List-Id` (RFC 2919); `List-Post`, `List-Unsubscribe` (RFC 2369); `Precedence: list`, `bulk` or `junk` | `list` |
//! | `Auto-Submitted` else, but for `no`; marks of cron and the like; an empty sender and the subject of an automatic reply | `auto_reply` |
//! | an empty sender (RFC 5321 section 4.5.5): nobody may answer, and most such mail is of a mail server | `bounce` |
//! | none of these | `human` |
//!
//! An answer of a machine comes before the list, since somebody's absence may be told to a list; a notice
//! of a machine comes after it, since many notices go out by lists.
//!
//! Only the header is looked at. It does not tell whether a mail server has given up, only warns of a
//! delay, or tells of a success that somebody asked for (RFC 3461): all are a `bounce`, and
//! [what it says of each recipient](super::Bounce) tells more. `X-Auto-Response-Suppress` (Exchange) and
//! `Feedback-ID` tell nothing: people's mail has them, too.

use super::address::mailboxes;
use super::header::Header;
use super::params::Params;
use super::words::decode;
use memchr::memchr_iter;

/// What a mail is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A person wrote it, as far as can be told.
    Human,
    /// A machine wrote it: an answer, as of somebody out of office, or a notice.
    AutoReply,
    /// A mail server tells what became of a mail: mostly that it came back or is late. That it arrived is
    /// told alike; then [`Bounce::recipients`](super::Bounce::recipients) is empty.
    Bounce,
    /// It came by a mailing list, or to many.
    List,
    /// A report on other mail: DMARC, feedback loops, read receipts.
    Report,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 5] = [Kind::Human, Kind::AutoReply, Kind::Bounce, Kind::List, Kind::Report];

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Human => "human",
            Kind::AutoReply => "auto_reply",
            Kind::Bounce => "bounce",
            Kind::List => "list",
            Kind::Report => "report",
        }
    }
}

/// What speaks for a kind, the stronger first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Evidence {
    Report,
    Bounce,
    Answer,
    List,
    Notice,
    EmptySender,
}

impl Evidence {
    fn kind(self) -> Kind {
        match self {
            Evidence::Report => Kind::Report,
            Evidence::Bounce | Evidence::EmptySender => Kind::Bounce,
            Evidence::Answer | Evidence::Notice => Kind::AutoReply,
            Evidence::List => Kind::List,
        }
    }
}

/// The local part of the address that mail servers write by, in any case.
const DAEMON: &str = "mailer-daemon";
/// The longest name of a field that tells anything, in bytes.
const LONGEST_NAME: usize = "x-ms-exchange-generated-message-source".len();
/// How the subjects of automatic replies begin, in lower case.
const ANSWERS: &[&str] = &[
    "automatic reply",
    "auto reply",
    "auto-reply",
    "autoreply",
    "auto:",
    "out of office",
    "out-of-office",
    "automatische antwort",
    "abwesend",
    "abwesenheit",
    "réponse automatique",
    "absence du bureau",
    "respuesta automática",
    "risposta automatica",
    "resposta automática",
    "automatisch antwoord",
    "autosvar",
    "automatiskt svar",
    "automatisk svar",
    "automaattinen vastaus",
    "odpowiedź automatyczna",
    "automatická odpověď",
    "автоматический ответ",
    "автоматична відповідь",
    "otomatik yanıt",
    "自動応答",
    "自动答复",
    "自動回覆",
    "자동 회신",
];

/// What kind of mail this is, going by its header and by the envelope's sender, empty for `<>`.
pub(super) fn kind(header: Header<'_>, sender: Option<&str>) -> Kind {
    // qmail gives what could not be bounced the sender `#@[]`.
    let is_sender_empty = sender.is_some_and(|sender| sender.is_empty() || sender == "#@[]" || is_daemon(sender));
    let told = header.fields().filter_map(|(name, value)| evidence(name, value, is_sender_empty)).min();
    told.or(is_sender_empty.then_some(Evidence::EmptySender)).map_or(Kind::Human, Evidence::kind)
}

/// Whether a mail with this header is a bounce, going by the sender that the delivery has put on top.
pub(super) fn is_bounce(header: Header<'_>) -> bool {
    let sender = header.of_delivery().find(|(name, _)| name.eq_ignore_ascii_case(b"Return-Path")).map(|(_, path)| {
        let path = path.trim_ascii();
        decode(path.strip_prefix(b"<").and_then(|path| path.strip_suffix(b">")).unwrap_or(path))
    });
    kind(header, sender.as_deref()) == Kind::Bounce
}

/// What a field speaks for.
fn evidence(name: &[u8], value: &[u8], is_sender_empty: bool) -> Option<Evidence> {
    let mut lower = [0; LONGEST_NAME];
    let lower = lower.get_mut(..name.len())?;
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    let has_text = |evidence| (!value.trim_ascii().is_empty()).then_some(evidence);
    match str::from_utf8(lower).ok()? {
        "content-type" => report(value),
        "subject" => subject(&decode(value), is_sender_empty),
        "from" => is_from_daemon(value).then_some(Evidence::Bounce),
        "tls-report-domain" => has_text(Evidence::Report),
        "x-failed-recipients" => has_text(Evidence::Bounce),
        "auto-submitted" => match Params::read_value(value).as_str() {
            "" | "no" => None,
            "auto-replied" => Some(Evidence::Answer),
            _ => Some(Evidence::Notice),
        },
        "precedence" | "x-precedence" => match Params::read_value(value).as_str() {
            "auto_reply" | "auto-reply" => Some(Evidence::Answer),
            "list" | "bulk" | "junk" | "mass" => Some(Evidence::List),
            _ => None,
        },
        "x-autoreply" | "x-autorespond" | "x-autoresponder" | "x-auto-reply-from" | "x-autoreply-from"
        | "x-mail-autoreply" => {
            let is_denied = matches!(Params::read_value(value).as_str(), "" | "no" | "false" | "0");
            (!is_denied).then_some(Evidence::Answer)
        }
        "x-post-messageclass" => {
            let class = decode(value).to_ascii_lowercase();
            (class.contains("autoresponder") || class.contains("oof")).then_some(Evidence::Answer)
        }
        "x-ms-exchange-generated-message-source" => {
            decode(value).to_ascii_lowercase().contains("mailbox rules agent").then_some(Evidence::Answer)
        }
        "list-id" | "list-post" | "list-unsubscribe" | "mailing-list" | "x-mailing-list" | "x-beenthere" => {
            has_text(Evidence::List)
        }
        "x-cron-env" | "x-fc-machinegenerated" | "x-autogenerated" => has_text(Evidence::Notice),
        _ => None,
    }
}

fn report(content_type: &[u8]) -> Option<Evidence> {
    match Params::read_value(content_type).as_str() {
        "multipart/report" => {
            let content_type = Params::read(content_type);
            let report = content_type.get("report-type").map(|report| report.trim().to_ascii_lowercase());
            let is_delivery = report.is_none_or(|report| report.ends_with("delivery-status"));
            Some(if is_delivery { Evidence::Bounce } else { Evidence::Report })
        }
        "message/delivery-status" | "message/global-delivery-status" => Some(Evidence::Bounce),
        "message/disposition-notification" | "message/feedback-report" => Some(Evidence::Report),
        _ => None,
    }
}

fn subject(subject: &str, is_sender_empty: bool) -> Option<Evidence> {
    // Most are of no interest, whatever their case.
    if !is_sender_empty && !subject.contains(':') {
        return None;
    }
    let subject = subject.to_lowercase();
    if subject.contains("report domain:") && subject.contains("submitter:") {
        return Some(Evidence::Report);
    }
    let is_answer = is_sender_empty && ANSWERS.iter().any(|answer| subject.trim_start().starts_with(answer));
    is_answer.then_some(Evidence::Notice)
}

/// Whether a mail with this raw `From` is of a mail server.
pub(super) fn is_from_daemon(from: &[u8]) -> bool {
    // Hardly any needs the closer look.
    let is_daemon_at = |dash: usize| {
        let start = dash.checked_sub("mailer".len());
        start
            .and_then(|start| from.get(start..start + DAEMON.len()))
            .is_some_and(|name| name.eq_ignore_ascii_case(DAEMON.as_bytes()))
    };
    let is_named = memchr_iter(b'-', from).any(is_daemon_at);
    is_named && mailboxes(from).iter().any(|mailbox| is_daemon(&mailbox.address))
}

/// Whether this is the address that mail servers write by.
fn is_daemon(address: &str) -> bool {
    address.split('@').next().is_some_and(|local| local.trim_matches('"').eq_ignore_ascii_case(DAEMON))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind_of(header: &str, sender: Option<&str>) -> Kind {
        kind(Header::of(header.as_bytes()), sender)
    }

    #[test]
    fn the_header_tells_the_kind() {
        use Kind::{AutoReply, Bounce, Human, List, Report};
        let cases = [
            ("Subject: hello", Human),
            ("", Human),
            ("From: Post <postmaster@example.org>", Human),
            ("X-Auto-Response-Suppress: DR, OOF, AutoReply", Human),
            ("Feedback-ID: 1:mail:esp", Human),
            ("Auto-Submitted: no", Human),
            ("Auto-Submitted: No (sent by hand)", Human),
            ("Auto-Submitted:", Human),
            ("X-Autoreply: no", Human),
            ("Precedence: first-class", Human),
            ("List-Id:", Human),
            ("Subject: Automatic reply: hello", Human),
            ("Content-Type: multipart/mixed; report-type=delivery-status", Human),
            ("Auto-Submitted: auto-replied", AutoReply),
            ("AUTO-SUBMITTED:\r\n\tAuto-Replied; owner-email=\"ada@example.org\"", AutoReply),
            ("Auto-Submitted: auto-replied (vacation)", AutoReply),
            ("Auto-Submitted: auto-generated", AutoReply),
            ("Auto-Submitted: auto-notified; owner-email=\"a@example.org\"", AutoReply),
            ("X-Autoreply: yes", AutoReply),
            ("X-Autorespond: away", AutoReply),
            ("X-Auto-Reply-From: ada@example.org", AutoReply),
            ("Precedence: auto_reply", AutoReply),
            ("X-POST-MessageClass: 9; Autoresponder", AutoReply),
            ("X-MS-Exchange-Generated-Message-Source: Mailbox Rules Agent", AutoReply),
            ("X-Cron-Env: <SHELL=/bin/sh>", AutoReply),
            ("Precedence: bulk", List),
            ("Precedence: Junk", List),
            ("List-Id: Quay <quay.lists.example.org>", List),
            ("List-Unsubscribe: <mailto:leave@example.org>", List),
            ("List-Post: NO", List),
            ("Content-Type: multipart/report; report-type=delivery-status; boundary=x", Bounce),
            ("Content-Type: Multipart/Report; boundary=x;\n Report-Type=\"Delivery-Status\"", Bounce),
            ("Content-Type: multipart/report; boundary=x", Bounce),
            ("X-Failed-Recipients: nobody@example.org", Bounce),
            ("From: MAILER-DAEMON (Mail Delivery System)", Bounce),
            ("From: Mail Delivery Subsystem <mailer-daemon@googlemail.example>", Bounce),
            ("Content-Type: multipart/report; report-type=disposition-notification", Report),
            ("Content-Type: multipart/report; report-type=feedback-report", Report),
            ("Content-Type: multipart/report; report-type=\"tlsrpt\"", Report),
            ("TLS-Report-Domain: example.org", Report),
            ("Subject: Report Domain: example.org\n Submitter: mx.example Report-ID: <1@mx.example>", Report),
            ("Subject: =?utf-8?Q?[Preview]_Report_domain:_example.org_Submitter:_mx.example?=", Report),
        ];
        for (header, expected) in cases {
            assert_eq!(kind_of(header, Some("ada@example.org")), expected, "{header}");
            assert_eq!(kind_of(header, None), expected, "{header}");
        }
    }

    #[test]
    fn the_stronger_of_two_hints_decides() {
        use Kind::{AutoReply, Bounce, List, Report};
        let cases = [
            (
                "Auto-Submitted: auto-replied\nContent-Type: multipart/report; report-type=disposition-notification",
                Report,
            ),
            ("List-Id: <dmarc.example.org>\nSubject: Report Domain: a Submitter: b Report-ID: c", Report),
            ("From: MAILER-DAEMON@example.org\nAuto-Submitted: auto-replied", Bounce),
            ("List-Id: <a.example.org>\nAuto-Submitted: auto-replied", AutoReply),
            ("Auto-Submitted: auto-replied\nPrecedence: bulk", AutoReply),
            ("Auto-Submitted: auto-generated\nPrecedence: bulk", List),
            ("Auto-Submitted: no\nAuto-Submitted: auto-replied", AutoReply),
        ];
        for (header, expected) in cases {
            assert_eq!(kind_of(header, Some("ada@example.org")), expected, "{header}");
        }
    }

    #[test]
    fn mail_with_an_empty_sender_is_a_bounce_unless_it_says_otherwise() {
        use Kind::{AutoReply, Bounce, List, Report};
        let cases = [
            ("From: postmaster@example.org\nSubject: failure notice", Bounce),
            ("Subject: Undeliverable: hello", Bounce),
            ("Subject: =?utf-8?Q?R=C3=A9ponse_automatique_:_facture?=", AutoReply),
            ("Auto-Submitted: auto-replied\nSubject: away", AutoReply),
            ("Auto-Submitted: auto-generated", AutoReply),
            ("List-Id: <a.example.org>", List),
            ("Content-Type: multipart/report; report-type=disposition-notification", Report),
        ];
        for (header, expected) in cases {
            for sender in ["", "MAILER-DAEMON", "mailer-daemon@example.org", "#@[]"] {
                assert_eq!(kind_of(header, Some(sender)), expected, "{header}");
            }
        }
    }
}
