//! How often we read what two others read.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde_json::Value;

use super::reading::{FIELDS, Reading, without_flow};

#[derive(Default)]
pub struct Tally {
    by_field: BTreeMap<&'static str, Counts>,
    /// Where the others agree, and we read something else.
    different: Vec<Difference>,
    /// Where all three read something else.
    lonely: Vec<Difference>,
}

#[derive(Default)]
struct Counts {
    /// The others read the same here, and it says something.
    agreed: usize,
    /// And so do we.
    same: usize,
    /// The others disagree, and we side with the first of them, with the second, or with none.
    disputed: [usize; 3],
}

struct Difference {
    mail: String,
    field: &'static str,
    /// What Python, the other crate, and we read.
    readings: [Value; 3],
}

impl Tally {
    /// The readings of Python, of the other crate, and ours.
    pub fn count(&mut self, name: &str, mail: &[u8], readings: &[&Reading; 3]) {
        let is_flowed = contains(&mail.to_ascii_lowercase(), b"format=flowed");
        for field in FIELDS {
            let found = readings.map(|reading| reading.get(field).cloned().unwrap_or_default());
            let flows = is_flowed && field == "text";
            let [first, second, ours] =
                if flows { found.clone().map(|text| without_flow(&text)) } else { found.clone() };
            let counts = self.by_field.entry(field).or_default();
            let difference = || Difference { mail: name.to_owned(), field, readings: found.clone() };
            if first == second {
                counts.agreed += usize::from(!(first.is_null() && ours.is_null()));
                counts.same += usize::from(first == ours && !first.is_null());
                self.different.extend((first != ours).then(difference));
            } else {
                let side = [first == ours, second == ours, true].iter().position(|&with| with).expect("one is true");
                counts.disputed[side] += 1;
                self.lonely.extend((side == 2).then(difference));
            }
        }
    }

    /// The share of the fields in which the others agree that we read so, too.
    pub fn agreement(&self) -> f64 {
        let sum = |count: fn(&Counts) -> usize| self.by_field.values().map(count).sum::<usize>() as f64;
        sum(|counts| counts.same) / sum(|counts| counts.agreed)
    }

    pub fn differences(&self) -> BTreeSet<(String, String)> {
        self.different.iter().map(|found| (found.mail.clone(), found.field.to_owned())).collect()
    }

    pub fn table(&self) -> String {
        let mut table = format!("{:16} agreed   same | disputed: as Python, as the other, as none\n", "field");
        for (field, Counts { agreed, same, disputed: [first, second, none] }) in &self.by_field {
            writeln!(table, "{field:16} {agreed:6} {same:6} | {first:6} {second:6} {none:6}").unwrap();
        }
        writeln!(table, "{:.3} % of what the others agree on", 100.0 * self.agreement()).unwrap();
        table
    }

    /// All differences, at length.
    pub fn report(&self) -> String {
        let mut report = self.table();
        for (title, differences) in [("The others agree", &self.different), ("All three differ", &self.lonely)] {
            writeln!(report, "\n{title}").unwrap();
            for Difference { mail, field, readings: [python, other, ours] } in differences {
                writeln!(report, "{mail} {field}\n  Python {python}\n  other  {other}\n  ours   {ours}").unwrap();
            }
        }
        report
    }
}

fn contains(text: &[u8], wanted: &[u8]) -> bool {
    text.windows(wanted.len()).any(|window| window == wanted)
}
