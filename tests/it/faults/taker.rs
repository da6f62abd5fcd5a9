//! Whoever takes the mail of a scene: an app, or a command that keeps books as an app does.

use std::fs;
use std::time::SystemTime;

use crate::support::ledger::number_in;
use crate::support::{Answer, App, Delivery, Gate, SOON, Script, wait_until};

/// Answers by the numbers of the mails, as HTTP statuses.
pub type Answers = Vec<u16>;

pub enum Taker {
    Url { app: App, gate: Gate },
    Command { script: Script },
}

/// The exit codes that mean the same.
const EXIT_CODES: [(u16, u8); 3] = [(200, 0), (400, 75), (422, 100)];

const COMMAND: &str = "
    cat >.mail.$$
    number=$(sed -n 's/^X-Ledger: //p; /^$/q' .mail.$$)
    sum=$(sha256sum <.mail.$$)
    . ./.answers
    echo $MAILDIRQ_ID $MAILDIRQ_ATTEMPT $number $code ${sum%% *} >>.log
    : >begun
    while ! test -e go; do sleep 0.01; done
    exit $code";

impl Taker {
    pub fn app() -> Taker {
        Taker::Url { app: App::accepting(), gate: Gate::closed() }
    }

    pub fn command() -> Taker {
        Taker::Command { script: Script::new(COMMAND) }
    }

    /// The lines of TOML that make it a target.
    pub fn target(&self) -> String {
        match self {
            Taker::Url { app, .. } => format!("url = '{}'", app.url()),
            Taker::Command { script } => format!("command = {}", script.command()),
        }
    }

    /// From now on these are the answers; the first one waits until [`Taker::go_on`], unless that was called before.
    pub fn answer(&self, answers: Answers) {
        match self {
            Taker::Url { app, gate } => {
                let gate = gate.clone();
                app.answer_with(move |request| {
                    let number = number_in(&request.body).expect("all mail is from the ledger");
                    Answer::status(answers[usize::try_from(number).unwrap()]).through(&gate)
                });
            }
            Taker::Command { script } => {
                let code = |status| EXIT_CODES.iter().find(|(known, _)| known == status).expect("one of these").1;
                let cases: Vec<_> = answers
                    .iter()
                    .enumerate()
                    .map(|(number, status)| format!("{number}) code={};;", code(status)))
                    .collect();
                let draft = script.path(".answers.new");
                fs::write(&draft, format!("case $number in {} esac\n", cases.join(" "))).unwrap();
                fs::rename(draft, script.path(".answers")).unwrap();
            }
        }
    }

    /// The first answer waits again.
    pub fn hold_back(&mut self) {
        match self {
            Taker::Url { gate, .. } => *gate = Gate::closed(),
            Taker::Command { script } => {
                for name in ["go", "begun"] {
                    let _ = fs::remove_file(script.path(name));
                }
            }
        }
    }

    pub fn go_on(&self) {
        match self {
            Taker::Url { gate, .. } => gate.open(),
            Taker::Command { script } => script.give("go"),
        }
    }

    /// Until somebody waits for an answer.
    pub fn wait_for_an_attempt(&self) {
        match self {
            Taker::Url { app, .. } => wait_until("an attempt", SOON, || app.in_hand() > 0),
            Taker::Command { script } => drop(script.wait_for("begun")),
        }
    }

    pub fn deliveries(&self) -> Vec<Delivery> {
        match self {
            Taker::Url { app, .. } => app.deliveries(),
            Taker::Command { script } => {
                let log = script.told(".log").unwrap_or_default();
                str::from_utf8(&log).unwrap().lines().map(delivery).collect()
            }
        }
    }
}

/// A line of the command's log.
fn delivery(line: &str) -> Delivery {
    let words: Vec<_> = line.split(' ').collect();
    let [id, attempt, number, code, sha256] = words[..] else { panic!("in the command's log: {line}") };
    let code: u8 = code.parse().unwrap();
    Delivery {
        id: id.to_owned(),
        attempt: attempt.parse().ok(),
        ledger: number.parse().ok(),
        sha256: sha256.to_owned(),
        status: EXIT_CODES.iter().find(|(_, known)| *known == code).expect("one of these").0,
        connection: 0,
        at: SystemTime::now(),
    }
}
