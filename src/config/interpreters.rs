//! Which words of a command are code to the program that gets them.
//!
//! What a stranger has written must not become code. So nothing of a mail may stand in the *head* of a call of an
//! interpreter: its options, the code that it is given, or the name of the file that it runs. What follows are
//! arguments.

/// An interpreter, or what calls one.
struct Interpreter {
    /// Its names. A version may stand behind them.
    names: &'static [&'static str],
    /// Letters of options that are followed by code.
    code: &'static str,
    /// Letters of options that are followed by something else.
    values: &'static str,
    /// Long options that are followed by code.
    long: &'static [&'static str],
    shape: Shape,
}

/// How its words are read.
#[derive(PartialEq)]
enum Shape {
    /// As `sh` does: the code is the first word that is no option, and nothing but arguments follows.
    Shell,
    /// The same for a word right behind its option.
    Once,
    /// The code is the word behind its option, and more options may follow. Without such an option the first word
    /// that is none is the code, or the file that holds it.
    Often,
    /// The code is the word behind its option, wherever that stands; nothing else is.
    Anywhere,
    /// All words are put together and given to a shell, or each of them may be code.
    Joined,
    /// The same, but what follows a file that is named by an option is its arguments.
    JoinedOrFile,
}

const fn of(
    names: &'static [&'static str],
    shape: Shape,
    code: &'static str,
    values: &'static str,
    long: &'static [&'static str],
) -> Interpreter {
    Interpreter { names, code, values, long, shape }
}

/// Long options of any of them that are followed by something else.
const LONG_VALUES: &[&str] = &["--require", "--import", "--rcfile", "--init-file", "--check-hash-based-pycs"];

const INTERPRETERS: &[Interpreter] = &[
    of(
        &[
            "sh", "bash", "dash", "ash", "ksh", "mksh", "zsh", "yash", "fish", "csh", "tcsh", "rbash", "nu", "elvish",
            "xonsh",
        ],
        Shape::Shell,
        "c",
        "oO",
        &["--command"],
    ),
    of(&["python", "pypy"], Shape::Once, "cm", "WX", &[]),
    of(&["perl"], Shape::Often, "eE", "I", &[]),
    of(&["ruby", "jruby"], Shape::Often, "e", "IrCE", &[]),
    of(
        &["php"],
        Shape::Often,
        "rBREFf",
        "cdtSz",
        &["--run", "--process-begin", "--process-code", "--process-end", "--file"],
    ),
    of(&["node", "nodejs", "bun", "deno"], Shape::Often, "ep", "rC", &["--eval", "--print"]),
    of(&["lua", "luajit"], Shape::Often, "e", "l", &[]),
    of(&["tclsh", "Rscript", "groovy"], Shape::Often, "e", "", &[]),
    of(&["expect"], Shape::Often, "cf", "", &[]),
    of(&["elixir"], Shape::Often, "e", "rSz", &["--eval"]),
    of(&["julia"], Shape::Often, "eEL", "JptC", &["--eval", "--print", "--load"]),
    of(&["R"], Shape::Anywhere, "ef", "", &["--file"]),
    of(&["awk", "gawk", "mawk", "nawk", "sed"], Shape::Often, "ef", "vF", &["--expression", "--file"]),
    of(&["env"], Shape::Anywhere, "S", "", &["--split-string"]),
    of(&["su", "runuser", "flock", "script"], Shape::Anywhere, "c", "", &["--command"]),
    of(&["rsync"], Shape::Anywhere, "e", "", &["--rsh", "--rsync-path"]),
    of(&["psql"], Shape::Anywhere, "cf", "", &["--command", "--file"]),
    of(&["mysql", "mariadb"], Shape::Anywhere, "e", "", &["--execute", "--init-command"]),
    of(&["sqlcmd"], Shape::Anywhere, "qQi", "", &[]),
    of(&["clickhouse-client"], Shape::Anywhere, "q", "", &["--query"]),
    of(&["mongo", "mongosh"], Shape::Anywhere, "", "", &["--eval"]),
    of(&["pwsh", "powershell"], Shape::JoinedOrFile, "", "", &["-file", "-f"]),
    of(&["ssh", "rsh", "watch", "parallel", "make", "gmake", "sqlite", "duckdb", "tmux"], Shape::Joined, "", "", &[]),
];

/// Interpreters whose names may be anything else in the words of another program.
const ALSO_WORDS: &[&str] = &["watch", "parallel", "make", "script", "expect", "groovy", "julia", "elixir", "R"];
/// Programs that call another one.
const CALLERS: &[&str] = &[
    "env",
    "timeout",
    "nice",
    "ionice",
    "chrt",
    "nohup",
    "setsid",
    "stdbuf",
    "time",
    "taskset",
    "prlimit",
    "busybox",
    "sudo",
    "doas",
    "runuser",
    "setpriv",
    "setuidgid",
    "chpst",
    "envdir",
    "softlimit",
    "flock",
    "unshare",
    "chroot",
    "systemd-run",
];

/// The words that are code, or lead to code, by their places; the program is the first. Beside each is the
/// interpreter that would run it. Others may call that one (`env`, `timeout`, `busybox`), wherever it stands then.
pub(super) fn code_words<'a>(words: &[&'a str]) -> Vec<(usize, &'a str)> {
    let mut code = Vec::new();
    let is_called = words.first().is_some_and(|program| CALLERS.contains(&name_of(program)));
    for (place, word) in words.iter().enumerate() {
        let name = name_of(word);
        let Some(interpreter) = find(name) else { continue };
        if ALSO_WORDS.contains(&name) && place > 0 && !is_called && !word.starts_with('/') {
            continue;
        }
        let behind = place + 1;
        code.extend(interpreter.head(&words[behind..]).into_iter().map(|place| (behind + place, name)));
        if interpreter.shape != Shape::Anywhere {
            // What follows are its arguments, whatever they are called.
            break;
        }
    }
    code
}

fn name_of(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}

fn find(name: &str) -> Option<&'static Interpreter> {
    let base = name.trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | '-'));
    INTERPRETERS.iter().find(|interpreter| interpreter.names.contains(&base))
}

/// What is known of a word when those before it are read.
#[derive(Clone, Copy, PartialEq)]
enum Next {
    Anything,
    Code,
    Value,
}

impl Interpreter {
    /// The places of those words behind its name that are no arguments.
    fn head(&self, words: &[&str]) -> Vec<usize> {
        match self.shape {
            Shape::Joined => (0..words.len()).collect(),
            Shape::JoinedOrFile => {
                let is_file = |word: &&str| self.long.contains(&&*word.to_ascii_lowercase());
                let file = words.iter().position(is_file).map(|option| option + 1);
                (0..words.len()).filter(|place| file.is_none_or(|file| *place <= file)).collect()
            }
            Shape::Anywhere => {
                let is_whole = |word: &str| word.starts_with("--") && word.contains('=');
                let takes_next = |word: &str| self.takes_code(word) && !is_whole(word);
                let is_code =
                    |place: &usize| self.takes_code(words[*place]) || *place > 0 && takes_next(words[*place - 1]);
                (0..words.len()).filter(is_code).collect()
            }
            Shape::Shell | Shape::Once | Shape::Often => (0..self.length_of_head(words)).collect(),
        }
    }

    fn length_of_head(&self, words: &[&str]) -> usize {
        let is_shell = self.shape == Shape::Shell;
        let (mut next, mut has_code) = (Next::Anything, false);
        for (place, word) in words.iter().enumerate() {
            let is_option = word.len() > 1 && word.starts_with('-') || is_shell && word.starts_with('+');
            if next == Next::Value {
                next = Next::Anything;
            } else if next == Next::Code && !(is_shell && is_option) {
                (next, has_code) = (Next::Anything, true);
                if matches!(self.shape, Shape::Shell | Shape::Once) {
                    return place + 1;
                }
            } else if *word == "--" {
                // Behind it is the code or the file to run, unless there was code.
                return (place + if has_code { 1 } else { 2 }).min(words.len());
            } else if !is_option {
                return place + usize::from(!has_code);
            } else if self.takes_code(word) {
                if word.starts_with("--") && word.contains('=') {
                    has_code = true;
                } else {
                    next = Next::Code;
                }
            } else if next == Next::Anything && self.takes_value(word) {
                next = Next::Value;
            }
        }
        words.len()
    }

    /// Whether the word behind this one belongs to it.
    fn takes_value(&self, word: &str) -> bool {
        if word.starts_with("--") { LONG_VALUES.contains(&word) } else { word.ends_with(|c| self.values.contains(c)) }
    }

    /// Whether the word behind this one, or the rest of it, is code.
    fn takes_code(&self, word: &str) -> bool {
        match word.strip_prefix("--") {
            Some(_) => self.long.contains(&word.split('=').next().unwrap_or(word)),
            None => word.strip_prefix('-').is_some_and(|letters| letters.contains(|c| self.code.contains(c))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words that are marked by a `!` are code, or lead to it.
    #[test]
    fn code_and_what_leads_to_it_is_told_from_arguments() {
        for marked in [
            "/usr/local/bin/handler -c a -e b",
            "/bin/sh !-c !code sh argument -c argument",
            "bash !-o !pipefail !-ec !code argument",
            "sh !-c !-e !+x !code -x",
            "sh !-c !code perl -e argument",
            "sh !-e !file -c argument",
            "sh !file argument",
            "/bin/busybox sh !-c !code argument",
            "env A=b sh !-c !code argument",
            "/usr/bin/env !-S !code A=b",
            "prlimit --nofile=1024 sh !-c !code argument",
            "python3.11 !-u !-c !code -c argument",
            "python3 !-W !ignore !file.py -c argument",
            "/usr/bin/python !-m !module argument",
            "/usr/bin/perl !-I !lib !-lane !code !-e !code argument -e",
            "perl !-wT !file.pl argument -c argument",
            "perl !-e !code !-- argument",
            "perl !-w !-- !file argument",
            "perl !-e",
            "ruby !-I !lib !-rmail !-e !code argument",
            "php !-d !a=b !-r !code !-- argument",
            "node !--require !x !file.js argument",
            "node !--eval=code argument",
            "nodejs !-p !code argument",
            "lua5.4 !-e !code argument",
            "awk !-v !a=b !code file",
            "sed !-n !-e !code !-f !code file",
            "sed !code file",
            "su app !-c !code -- argument",
            "ssh !host !handler !argument",
            "sqlite3 !db !code",
            "handler watch argument",
            "handler make sh !-c !code",
            "timeout 5 watch !code",
            "handler /usr/bin/make !target",
            "/usr/bin/psql -d db -v a=b !-c !code",
            "psql !--command=code db",
            "mysql --batch !-e !code db",
            "mariadb !--execute=code db",
            "sqlcmd -S host !-Q !code",
            "clickhouse-client !--query !code",
            "mongosh db !--eval !code",
            "pwsh !-NoProfile !-c !code !argument",
            "pwsh !-NoProfile !-File !file argument",
            "parallel !handler !::: !argument",
            "watch !-n !1 !code",
            "make !-C !folder !A=b",
            "R --no-save !-e !code --args argument",
            "expect !-c !code !-- argument",
            "elixir !--eval !code argument",
            "julia !-e !code argument",
            "script -q !-c !code file",
            "rsync !-e !code file host:",
            "sh",
        ] {
            let words: Vec<_> = marked.split(' ').map(|word| word.trim_start_matches('!')).collect();
            let expected: Vec<_> = marked
                .split(' ')
                .enumerate()
                .filter(|(_, word)| word.starts_with('!'))
                .map(|(place, _)| place)
                .collect();
            let mut found: Vec<_> = code_words(&words).into_iter().map(|(place, _)| place).collect();
            found.dedup();
            assert_eq!(found, expected, "{marked}");
        }
        assert_eq!(code_words(&["/bin/sh", "-c", "x"])[1], (2, "sh"));
    }
}
