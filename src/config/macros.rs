//! The macros in the words of a file: whether they can stand where they do.

use super::interpreters::code_words;
use super::item::Item;
use super::remark::Note;
use crate::engine::text::printable;
use crate::target::{MACROS, Part, parts};

/// Notes the macros that a command cannot have.
pub(super) fn check(words: &[(Item<'_>, String)]) {
    let texts: Vec<_> = words.iter().map(|(_, word)| &**word).collect();
    let code = code_words(&texts);
    for (place, (item, word)) in words.iter().enumerate() {
        let interpreter = code.iter().find(|(code, _)| *code == place).map(|(_, interpreter)| *interpreter);
        for part in parts(word) {
            match (part, interpreter) {
                (Part::Macro(_, written), Some(interpreter)) => note_code(item, written, interpreter),
                (Part::Macro(_, written), None) if place == 0 => {
                    note(item, &format!("no mail chooses the program, as {written} would"), "write the program's name");
                }
                (Part::Lost(written), _) => note_lost(item, written),
                (Part::Macro(..) | Part::Text(_), _) => {}
            }
        }
    }
}

/// A word without macros, as the program gets it.
pub(super) fn plain(word: &str) -> String {
    let texts = parts(word).into_iter().map(|part| match part {
        Part::Text(text) | Part::Macro(_, text) | Part::Lost(text) => text,
    });
    texts.collect()
}

/// Notes macros where there is no message.
pub(super) fn refuse(words: &[(Item<'_>, String)]) {
    for (item, word) in words {
        for part in parts(word) {
            if let Part::Macro(_, written) | Part::Lost(written) = part {
                let text = format!("there is no message yet for {written}: a worker is started before");
                let help = format!("each job tells its envelope; for {written} as it is write ${written}");
                note(item, &text, &help);
            }
        }
    }
}

fn note_code(item: &Item<'_>, written: &str, interpreter: &str) {
    let interpreter = printable(interpreter.as_bytes());
    let text = format!("{written} would be code: what somebody wrote into a mail would be run by {interpreter}");
    let help = format!(
        "give it as an argument of its own, behind the code, as in [\"sh\", \"-c\", \"handler \\\"$1\\\"\", \"sh\", \"{written}\"]; a variable of the script's own is written ${written}"
    );
    note(item, &text, &help);
}

fn note_lost(item: &Item<'_>, written: &str) {
    let known: Vec<_> = MACROS.iter().map(|(name, _)| *name).collect();
    let text = format!("{written} is known to Postfix only: a Maildir does not keep it");
    let help = format!("there are {}; for {written} as it is write ${written}", known.join(", "));
    note(item, &text, &help);
}

fn note(item: &Item<'_>, text: &str, help: &str) {
    item.walk.note(Note::error(text).at(item.span.clone()).help(help));
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Process, TargetKind};
    use std::path::Path;

    #[test]
    fn a_pair_of_dollars_before_a_name_is_one_for_a_worker_too() {
        let toml = "maildir = '/m'\n[target.a]\nworker = ['/bin/sh', '-c', 'echo $$user $1 $$', '$${sender}']\n";
        let reading = Config::parse(toml.as_bytes(), Path::new("maildirq.toml"), &Process).unwrap();
        let TargetKind::Worker(worker) = &reading.config.targets[0].kind else { panic!("a worker") };
        assert_eq!(worker.run.arguments, ["-c", "echo $user $1 $$", "${sender}"]);
    }
}
