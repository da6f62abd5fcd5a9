//! Finding the configuration file, reading it, and becoming who may work on its Maildirs.

use super::bystander::Bystander;
use super::{Exit, complain, mail};
use crate::config::{Config, ConfigError, Reading};
use crate::maildir::{OpenError, become_owner};
use crate::wire;
use std::env;
use std::path::{Path, PathBuf};

/// The flag that names the file.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ConfigArg {
    /// Configuration file [default: that of `MAILDIRQ_CONFIG`, ./maildirq.toml,
    /// ~/.config/maildirq/maildirq.toml, /etc/maildirq/maildirq.toml]
    #[arg(short = 'c', long, value_name = "FILE", verbatim_doc_comment)]
    pub config: Option<PathBuf>,
}

impl ConfigArg {
    /// The file that is meant, if there is one.
    pub fn find(&self) -> Option<PathBuf> {
        let named = self.config.clone().or_else(|| set("MAILDIRQ_CONFIG"));
        named.or_else(|| usual_places().into_iter().find(|path| path.exists()))
    }

    /// The file that is meant.
    ///
    /// # Errors
    /// There is none, which was told of; this is how to end.
    pub fn locate(&self) -> Result<PathBuf, Exit> {
        self.find().ok_or_else(|| {
            let places: Vec<_> = usual_places().iter().map(|path| path.display().to_string()).collect();
            complain(format_args!(
                "there is no configuration file\n  = looked for: {}\n  = try: -c FILE, or --maildir PATH --post URL where a command takes them",
                places.join(", ")
            ));
            Exit::NoInput
        })
    }

    /// Reads the file that is meant.
    ///
    /// # Errors
    /// It was told of; this is how to end.
    pub fn read(&self) -> Result<(PathBuf, Reading), Exit> {
        let path = self.locate()?;
        let reading = read(&path)?;
        Ok((path, reading))
    }

    /// As [`ConfigArg::read`], for whom it is enough to know where mail comes from and goes to.
    ///
    /// # Errors
    /// It was told of; this is how to end.
    pub fn read_as_bystander(&self) -> Result<Config, Exit> {
        let path = self.locate()?;
        let bytes = std::fs::read(&path).map_err(|error| ConfigError::Read { path: path.clone(), error });
        let reading = bytes.and_then(|bytes| Config::parse(&bytes, &path, &Bystander));
        reading.map(|reading| reading.config).map_err(|error| told(&error))
    }

    /// As [`ConfigArg::read_as_bystander`], for whom it is enough to know where mail lies and what the targets are
    /// called. Mistakes elsewhere are told of and hold up nobody: it is when something is wrong that one has to look.
    ///
    /// # Errors
    /// It was told of; this is how to end.
    pub fn read_places(&self) -> Result<Config, Exit> {
        let path = self.locate()?;
        let bytes = std::fs::read(&path).map_err(|error| ConfigError::Read { path: path.clone(), error });
        let read = bytes.and_then(|bytes| Config::parse_places(&bytes, &path, &Bystander));
        let (config, mistake) = read.map_err(|error| told(&error))?;
        if mistake.is_some() {
            complain(format_args!(
                "{} has mistakes: routes and settings of targets are not known here\n  = try: maildirq check",
                mail::shown(&path)
            ));
        }
        Ok(config)
    }
}

/// Reads this file.
///
/// # Errors
/// It was told of; this is how to end.
pub fn read(path: &Path) -> Result<Reading, Exit> {
    Config::read(path).map_err(|error| told(&error))
}

fn told(error: &ConfigError) -> Exit {
    complain(error);
    Exit::from(error)
}

fn set(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn usual_places() -> Vec<PathBuf> {
    let home = set("XDG_CONFIG_HOME").or_else(|| Some(set("HOME")?.join(".config")));
    let file = |folder: PathBuf| folder.join("maildirq/maildirq.toml");
    [Some("maildirq.toml".into()), home.map(file), Some(file("/etc".into()))].into_iter().flatten().collect()
}

/// Where this is root, becomes the owner of all Maildirs of this configuration, but for what its programs need.
///
/// # Errors
/// It was told of; this is how to end.
pub fn become_owner_of_all(config: &Config) -> Result<(), Exit> {
    become_owner_beside(config, &config.accounts())
}

/// Where this is root, becomes the owner of all Maildirs of this configuration for good: no program is to be run.
///
/// # Errors
/// It was told of; this is how to end.
pub fn become_owner_of_maildirs(config: &Config) -> Result<(), Exit> {
    become_owner_beside(config, &[])
}

fn become_owner_beside(config: &Config, others: &[(u32, u32)]) -> Result<(), Exit> {
    let fail = |error: &OpenError| {
        complain(error);
        Exit::from(error)
    };
    let places = wire::places(config).map_err(|error| fail(&error))?;
    let places: Vec<_> = places.into_iter().map(|(place, _)| place).collect();
    become_owner(&places, others).map_err(|error| fail(&error))
}
