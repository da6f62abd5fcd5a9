//! What is shipped as a file, and printed as it is.

/// Which file for systemd; without a flag it is the unit of the daemon.
#[derive(Clone, Copy, Debug, clap::Args)]
#[group(multiple = false)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct Systemd {
    /// A drop-in for commands and workers in a language that compiles as it runs (Node, Java, PHP)
    #[arg(long)]
    commands: bool,
    /// A drop-in for commands and workers that run as other users
    #[arg(long)]
    users: bool,
    /// maildirq@.service: a maildirq of one user, for Maildirs in the home directory
    #[arg(long)]
    template: bool,
    /// maildirq-drain.service: one drain, for the timer
    #[arg(long)]
    drain: bool,
    /// maildirq-drain.timer: a drain every half minute, in place of the daemon
    #[arg(long)]
    timer: bool,
    /// For systemd-sysusers(8): the user
    #[arg(long)]
    sysusers: bool,
    /// For systemd-tmpfiles(8): the folder of the Maildirs
    #[arg(long)]
    tmpfiles: bool,
}

impl Systemd {
    /// The file.
    pub fn text(self) -> &'static str {
        let parts = [
            (self.commands, include_str!("../../../deploy/systemd/commands.conf")),
            (self.users, include_str!("../../../deploy/systemd/users.conf")),
            (self.template, include_str!("../../../deploy/systemd/maildirq@.service")),
            (self.drain, include_str!("../../../deploy/systemd/maildirq-drain.service")),
            (self.timer, include_str!("../../../deploy/systemd/maildirq-drain.timer")),
            (self.sysusers, include_str!("../../../deploy/sysusers.d/maildirq.conf")),
            (self.tmpfiles, include_str!("../../../deploy/tmpfiles.d/maildirq.conf")),
        ];
        let asked = parts.into_iter().find_map(|(is_asked, text)| is_asked.then_some(text));
        asked.unwrap_or(include_str!("../../../deploy/systemd/maildirq.service"))
    }
}

/// Which file for Prometheus; without a flag it is the rules.
#[derive(Clone, Copy, Debug, clap::Args)]
#[group(multiple = false)]
pub struct Alerts {
    /// Tests of the rules, for promtool
    #[arg(long)]
    tests: bool,
    /// What to add to prometheus.yml
    #[arg(long)]
    scrape: bool,
}

impl Alerts {
    /// The file.
    pub fn text(self) -> &'static str {
        match self {
            Alerts { tests: true, .. } => include_str!("../../../deploy/prometheus/alerts_test.yml"),
            Alerts { scrape: true, .. } => include_str!("../../../deploy/prometheus/scrape.yml"),
            Alerts { .. } => include_str!("../../../deploy/prometheus/alerts.yml"),
        }
    }
}
