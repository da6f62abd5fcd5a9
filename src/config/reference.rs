//! What the table of keys says, for people: the commented file of `gen config`, and the pages of the
//! documentation.

use super::keys::{
    ANSWERS, ATTACHMENTS, ATTEMPTS, AUTH, BASIC, BEARER, BREAKER, CREDENTIAL, DESCRIBE_ABOVE, ENCODING, ENV, FIELDS,
    FILE, FORMAT, For, KEEP, KEYS, Key, Kind, MAIL, MAILDIR, MAX_DELAY, MIN_DELAY, PARSED, PASSWORD, POLICY, Place,
    RAW_EMAIL, RETRY, RETRY_FOR, SCHEDULE, SIGNING_KEY, TIMEOUT, TIMESTAMP, URL, WEB,
};
use crate::engine::KNOWN;

pub use super::manual::man_page;
pub use super::schema::json_schema;

/// How wide a comment is, in characters.
const WIDTH: usize = 110;

/// A part of the commented file.
struct Section {
    header: &'static str,
    place: Place,
    /// Each with what is written there, where that is neither its default nor its example.
    keys: Vec<(&'static Key, Option<&'static str>)>,
}

fn sections() -> Vec<Section> {
    let plain = |key: &&'static Key| (*key, None);
    let all_of = |place, is_in: fn(&Key) -> bool| {
        Key::of(place).filter(|key| is_in(key)).map(|key| (key, None)).collect::<Vec<_>>()
    };
    let section = |header, place, keys| Section { header, place, keys };
    let some = |keys: &[&'static Key]| keys.iter().map(plain).collect::<Vec<_>>();
    let is_table = |key: &Key| [&AUTH, &ANSWERS, &RETRY, &BREAKER].iter().any(|table| table.name == key.name);
    let mut of_url = all_of(Place::Target, |key| key.targets.contains(&For::Url));
    of_url.retain(|(key, _)| !is_table(key) && !is_of_another_format(key));
    vec![
        section("", Place::Top, all_of(Place::Top, |key| !is_above_others(key) && key.name != MAILDIR.name)),
        section("[queue.support]", Place::Queue, all_of(Place::Queue, |_| true)),
        section("[[route]]", Place::Route, all_of(Place::Route, |key| !matches!(key.kind, Kind::One(_)))),
        section("[route.when]", Place::When, all_of(Place::When, |_| true)),
        section("[target.app]", Place::Target, of_url),
        section("[target.app.auth]", Place::Auth, some(&[&BASIC, &PASSWORD])),
        section("[target.app.answers]", Place::Answers, all_of(Place::Answers, |_| true)),
        section("[target.app.retry]", Place::Retry, some(&[&MIN_DELAY, &MAX_DELAY, &RETRY_FOR, &ATTEMPTS])),
        section("[target.app.breaker]", Place::Breaker, all_of(Place::Breaker, |_| true)),
        section(
            "[target.crm]",
            Place::Target,
            vec![
                (&URL, Some("{ env = \"CRM_URL\" }")),
                (&FORMAT, Some("\"json\"")),
                (&ATTACHMENTS, None),
                (&DESCRIBE_ABOVE, None),
            ],
        ),
        section("[target.crm.auth]", Place::Auth, some(&[&BEARER])),
        section("[target.crm.retry]", Place::Retry, some(&[&POLICY])),
        section(
            "[target.desk]",
            Place::Target,
            vec![(&URL, None), (&FORMAT, Some("\"form\"")), (&ENCODING, None), (&FIELDS, None)],
        ),
        section(
            "[target.was_mailgun]",
            Place::Target,
            vec![(&URL, None), (&FORMAT, Some("\"mailgun\"")), (&SIGNING_KEY, None), (&TIMESTAMP, None)],
        ),
        section(
            "[target.was_postmark]",
            Place::Target,
            vec![(&URL, None), (&FORMAT, Some("\"postmark\"")), (&RAW_EMAIL, None)],
        ),
        section("[target.archive]", Place::Target, archive_keys()),
        section("[target.archive.retry]", Place::Retry, some(&[&SCHEDULE])),
        section("[target.handler]", Place::Target, worker_keys()),
        section("[web]", Place::Web, all_of(Place::Web, |_| true)),
        section("[keep]", Place::Keep, all_of(Place::Keep, |_| true)),
    ]
}

/// What is for a command only, with what differs there.
fn archive_keys() -> Vec<(&'static Key, Option<&'static str>)> {
    let own =
        Key::of(Place::Target).filter(|key| key.targets.contains(&For::Command) && !key.targets.contains(&For::Url));
    let usual = Some((&TIMEOUT, TIMEOUT.default_of_program));
    own.map(|key| (key, None)).chain(usual).collect()
}

/// What is for a worker only, with what differs there.
fn worker_keys() -> Vec<(&'static Key, Option<&'static str>)> {
    let own = Key::of(Place::Target).filter(|key| key.targets == [For::Worker]);
    own.map(|key| (key, (key.name == PARSED.name).then_some("true"))).collect()
}

/// Whether it makes no sense beside the format that is usual.
fn is_of_another_format(key: &Key) -> bool {
    let others = [&ATTACHMENTS, &DESCRIBE_ABOVE, &ENCODING, &FIELDS, &SIGNING_KEY, &TIMESTAMP, &RAW_EMAIL];
    others.iter().any(|other| other.name == key.name)
}

/// Whether what it holds has a chapter of its own.
fn is_above_others(key: &Key) -> bool {
    matches!(key.kind, Kind::Named(_) | Kind::Many(_)) || [&WEB, &KEEP].iter().any(|table| table.name == key.name)
}

/// A file in which every setting stands, commented out, with what it is unless given.
pub fn annotated_config() -> String {
    let mut text = String::from(
        "# maildirq.toml: every setting, commented out. What stands there is what it is unless given; where there is\n\
         # no such thing, it is an example and says so. Three lines are enough:\n\
         #\n\
         #   maildir = \"/var/lib/maildirq/support\"\n\
         #   [target.app]\n\
         #   url = \"https://app.example.com/inbound\"\n",
    );
    let mut told_places = Vec::new();
    let mut told_keys = Vec::new();
    for section in sections() {
        text.push('\n');
        if !section.header.is_empty() {
            text.push('\n');
        }
        if !told_places.contains(&section.place) {
            told_places.push(section.place);
            comment(&mut text, section.place.about());
            if section.place == Place::Auth {
                comment(&mut text, Place::Secret.about());
                for key in [&ENV, &FILE, &CREDENTIAL] {
                    comment(&mut text, &format!("{{ {} = {} }}: {}", key.name, key.example, key.doc()));
                }
            }
        }
        if !section.header.is_empty() {
            line(&mut text, &format!("#{}", section.header));
        }
        for (key, written) in section.keys {
            if !told_keys.contains(&key.doc()) {
                told_keys.push(key.doc());
                text.push('\n');
                comment(&mut text, key.doc());
                if key.name == FIELDS.name {
                    comment(&mut text, MAIL.doc());
                }
            }
            let value = written.or(key.default).unwrap_or(key.example);
            let remark = if key.default.or(written).is_none() { "  # an example" } else { "" };
            line(&mut text, &format!("#{} = {value}{remark}", key.name));
        }
    }
    text
}

fn line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

fn comment(text: &mut String, words: &str) {
    let mut width = usize::MAX;
    for word in words.split(' ') {
        let length = word.chars().count() + 1;
        if width.saturating_add(length) > WIDTH {
            if width != usize::MAX {
                text.push('\n');
            }
            text.push('#');
            width = 1;
        }
        width += length;
        text.push(' ');
        text.push_str(word);
    }
    text.push('\n');
}

/// The page of the documentation about the file.
pub fn markdown() -> String {
    let mut text = String::from(
        "# Configuration\n\n\
         <!-- Made from src/config/keys.rs; a test holds the two together. -->\n\n\
         One TOML file. Three lines are enough:\n\n\
         ```toml\n\
         maildir = \"/var/lib/maildirq/support\"\n\
         [target.app]\n\
         url = \"https://app.example.com/inbound\"\n\
         ```\n\n\
         It grows without changing its shape:\n\n\
         ```toml\n\
         [queue.support]\n\
         maildir = \"/var/lib/maildirq/support\"\n\n\
         [[route]]\n\
         when   = { from = \"<>\" }\n\
         target = \"bounces\"\n\n\
         [[route]]\n\
         target = \"app\"\n\n\
         [target.app]\n\
         url   = \"https://app.example.com/inbound\"\n\
         auth  = { basic = \"maildirq\", password = { credential = \"app_password\" } }\n\
         retry = \"sidekiq\"\n\n\
         [target.bounces]\n\
         command = [\"/usr/local/bin/record-bounce\"]\n\
         ```\n\n\
         A key that is not known is a mistake, and so is everything that makes no sense; all mistakes are shown at once, \
         each with its line. A file in which every key stands is printed by `maildirq gen config`, a JSON Schema for \
         editors by `maildirq gen schema`.\n",
    );
    for place in Place::ALL {
        let title = match place {
            Place::Top => "At the top of the file".to_owned(),
            Place::Secret => "References to secrets".to_owned(),
            place => format!("`{}`", place.title()),
        };
        line(&mut text, &format!("\n## {title}\n\n{}\n", place.about()));
        line(&mut text, "| key | takes | unless given | what it is |\n|---|---|---|---|");
        for key in Key::of(*place) {
            let takes = key.kind.expected();
            let is_limited = *place == Place::Target && !key.is_for_all_targets();
            let targets = if is_limited { format!("*For {}.* ", key.targets_in_words()) } else { String::new() };
            let default = default_in(key, *place);
            line(&mut text, &format!("| `{}` | {takes} | {default} | {targets}{} |", key.name, key.doc()));
        }
        if *place == Place::Retry {
            line(&mut text, "\n| policy | what it is |\n|---|---|");
            for known in KNOWN {
                line(&mut text, &format!("| `{}` | {} |", known.name, known.about));
            }
        }
    }
    text
}

/// What a key is unless given, as a phrase.
pub(super) fn default_in(key: &Key, place: Place) -> String {
    if place != Place::Top && key.places.contains(&Place::Top) && key.name != MAILDIR.name {
        return "as at the top".into();
    }
    let of_command =
        key.default_of_program.map(|default| format!("; `{default}` for a command or a worker")).unwrap_or_default();
    key.default.map(|default| format!("`{default}`{of_command}")).unwrap_or_default()
}

/// All settings in short, for the README.
pub fn readme_table() -> String {
    let mut text = String::from("| key | unless given | |\n|---|---|---|\n");
    for place in Place::ALL {
        let keys: Vec<_> = KEYS.iter().filter(|key| key.places[0] == *place && !is_above_others(key)).collect();
        if keys.is_empty() {
            continue;
        }
        let title = match place {
            Place::Top => "**at the top**, or in `[queue.NAME]`".to_owned(),
            Place::Secret => "**instead of a secret**".to_owned(),
            place => format!("**`{}`**", place.title()),
        };
        line(&mut text, &format!("| {title} | | |"));
        for key in keys {
            line(&mut text, &format!("| `{}` | {} | {} |", key.name, default_in(key, *place), key.summary()));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assert_file;
    use std::fs;
    use std::path::Path;

    #[test]
    fn the_page_of_the_documentation_is_what_the_table_says() {
        assert_file("docs/configuration.md", &markdown());
    }

    #[test]
    fn the_sample_file_is_what_the_table_says() {
        assert_file("deploy/maildirq.toml", &annotated_config());
    }

    #[test]
    fn the_table_of_the_readme_is_what_the_table_says() {
        const BEGIN: &str = "<!-- settings -->\n\n";
        const END: &str = "\n<!-- /settings -->";
        let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
        let (before, rest) = readme.split_once(BEGIN).expect("a mark before the table");
        let (_, after) = rest.split_once(END).expect("a mark behind the table");
        assert_file("README.md", &[before, BEGIN, &readme_table(), END, after].concat());
    }

    #[test]
    fn every_key_is_in_the_sample_and_in_the_readmes_table() {
        let sections = sections();
        let table = readme_table();
        for key in KEYS.iter().filter(|key| !is_above_others(key)) {
            assert!(table.contains(&format!("| `{}` | ", key.name)), "{}", key.name);
            let is_section = matches!(key.kind, Kind::One(_) | Kind::OneOrText(_));
            let is_reference = key.places[0] == Place::Secret || key.places == [Place::FormField];
            let is_there = |place: &Place| {
                sections.iter().any(|section| {
                    section.place == *place && section.keys.iter().any(|(other, _)| std::ptr::eq(*other, *key))
                })
            };
            let is_short = key.name == MAILDIR.name;
            assert!(
                is_section
                    || is_reference
                    || key.places.iter().all(|place| is_there(place) || (is_short && *place == Place::Top)),
                "{}",
                key.name
            );
        }
    }

    #[test]
    fn no_cell_of_a_table_breaks_it() {
        for row in markdown().lines().chain(readme_table().lines()).filter(|row| row.starts_with('|')) {
            let cells = row.matches('|').count() - 1;
            assert!([2, 3, 4].contains(&cells) && row.ends_with('|'), "{row}");
        }
    }
}
