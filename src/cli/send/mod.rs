//! `send`: one test mail, all the way through a running daemon, or straight to an application.

mod direct;
mod follow;
mod sample;

use super::config_file::{ConfigArg, become_owner_of_all};
use super::mail::Mail;
use super::{Exit, complain, mail};
use crate::config::{Address, Config, parse_duration};
use crate::engine::{Message, Route};
use crate::maildir::{Delivery, Refusal, deliver};
use crate::target::UrlConfig;
use crate::wire;
use follow::{Journey, hop};
use sample::Sample;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

/// The sender of a sample unless given; mail to it goes nowhere (RFC 2606).
const SENDER: &str = "test@maildirq.invalid";

/// Push one test mail through, end to end
///
/// Puts a sample, or the message in FILE (- is standard input), into the queue's Maildir and
/// follows it through a running maildirq. Secrets of the configuration need not be there.
///
/// --direct posts it to this URL instead, without queue or configuration; with --target it is
/// sent with that target's settings. Each time it has another webhook-id.
///
/// Exit code: 0 it was taken · 75 it will be tried again, or nobody took it · 1 it is dead ·
/// 65 not a message · 66 no such file · 74 the Maildir cannot be written · 78 configuration.
///
/// Example: maildirq send --sample attachment --to support@example.com
#[derive(Clone, Debug, clap::Args)]
#[command(
    verbatim_doc_comment,
    override_usage = "maildirq send [-c FILE] [OPTIONS] [FILE]\n       maildirq send --direct URL [OPTIONS] [FILE]"
)]
pub struct Args {
    #[command(flatten)]
    file: ConfigArg,
    /// The queue that it is put into [default: the first]
    #[arg(long, value_name = "NAME", conflicts_with = "direct")]
    queue: Option<String>,
    /// Its envelope's recipient
    #[arg(long, value_name = "ADDR")]
    to: Option<String>,
    /// Its envelope's sender; <> is that of a bounce [default for a sample: test@maildirq.invalid]
    #[arg(long, value_name = "ADDR", allow_hyphen_values = true)]
    from: Option<String>,
    /// What is sent where there is no FILE [default: plain]
    #[arg(long, value_name = "KIND", conflicts_with = "mail")]
    sample: Option<Sample>,
    /// The message to be sent
    #[arg(value_name = "FILE")]
    mail: Option<PathBuf>,
    /// How long it is followed
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_duration)]
    timeout: Duration,
    /// Post it to this URL, past all queues
    #[arg(long, value_name = "URL")]
    direct: Option<Address>,
    /// Post it to this target, or with its settings to the URL of --direct
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
}

/// Sends it, and says what came of it.
pub fn run(args: &Args) -> Exit {
    let sent = if args.direct.is_some() || args.target.is_some() { straight(args) } else { through_the_queue(args) };
    match sent {
        Ok(exit) | Err(exit) => exit,
    }
}

/// What is to be sent, and who it is from, where that is not for the message to say.
fn mail_of(args: &Args, recipient: Option<&str>) -> Result<(Mail, Option<String>), Exit> {
    let from = args.from.as_deref().map(|from| from.trim_start_matches('<').trim_end_matches('>').to_owned());
    if let Some(path) = &args.mail {
        return Ok((mail::read(path)?, from));
    }
    let from = from.unwrap_or_else(|| SENDER.to_owned());
    let sample = args.sample.unwrap_or_default();
    Ok((Mail { arrived: SystemTime::now(), ..Mail::new(sample.mail(&from, recipient).into()) }, Some(from)))
}

fn straight(args: &Args) -> Result<Exit, Exit> {
    let Some(name) = &args.target else { return past_all_settings(args) };
    let (_, reading) = args.file.read()?;
    let config = reading.config;
    let settings = direct::settings(name, args.direct.as_ref(), &config)?;
    let queue = mail::queue(&config, args.queue.as_deref())?;
    let (mail, from) = mail_of(args, args.to.as_deref().or(queue.envelope.recipient.as_deref()))?;
    let message = mail::message(mail, queue, from.as_deref(), args.to.as_deref());
    let route = Route::first_for(&config.routes, &message).map_err(|error| {
        complain(error);
        Exit::NoInput
    })?;
    let route = route.filter(|route| route.way.target() == name).map(|route| route.name.clone());
    direct::run(&settings, Message { route: route.unwrap_or_default(), ..message })
}

/// Without any configuration: to the URL alone.
fn past_all_settings(args: &Args) -> Result<Exit, Exit> {
    if args.mail.is_some() && (args.to.is_some() || args.from.is_some()) {
        complain(
            "--to and --from change nothing here: FILE is posted as it is\n  = try: without them, or by way of a queue",
        );
        return Err(Exit::Usage);
    }
    let url = args.direct.clone().expect("one of both is there");
    let (mail, from) = mail_of(args, args.to.as_deref())?;
    let queue = &Config::of_flags(PathBuf::new(), url.clone()).queues[0];
    let message = mail::message(mail, queue, from.as_deref(), args.to.as_deref());
    direct::run(&UrlConfig::new(url), message)
}

fn through_the_queue(args: &Args) -> Result<Exit, Exit> {
    let config = args.file.read_as_bystander()?;
    let queue = mail::queue(&config, args.queue.as_deref())?;
    let (mail, from) = mail_of(args, args.to.as_deref().or(queue.envelope.recipient.as_deref()))?;
    let bytes = mail.body.bytes().map_err(|error| {
        complain(error);
        Exit::NoInput
    })?;
    // Whoever reads the message below believes what is told on top of it, and there only once.
    let mut told_otherwise = Vec::new();
    told_otherwise.extend(from.is_some().then_some("Return-Path"));
    told_otherwise.extend(args.to.iter().flat_map(|_| ["X-Original-To", "Envelope-To", "Delivered-To"]));
    let bytes = mail::without_fields(&bytes, &told_otherwise);
    become_owner_of_all(&config)?;
    let places = wire::places(&config).map_err(|error| {
        complain(&error);
        Exit::from(&error)
    })?;
    let Some((place, _)) = places.iter().find(|(_, options)| *options.queue == *queue.name) else {
        complain(format_args!("the queue {} has no Maildir yet: nothing matches its `maildir`", queue.name));
        return Err(Exit::NoInput);
    };
    let began = Instant::now();
    let delivery = Delivery { sender: from.clone(), recipient: args.to.clone(), max_size: None };
    let name = deliver(&place.path, &delivery, &*bytes).map_err(|refusal| {
        complain(&refusal);
        if matches!(refusal, Refusal::BadAddress(_)) { Exit::Usage } else { Exit::Disk }
    })?;
    hop('✓', "written", &format!("{} ({} bytes)", place.path.join("new").display(), bytes.len()), began)?;
    let message = mail::message(Mail::new(bytes.into()), queue, from.as_deref(), args.to.as_deref());
    Journey { config: &config, message: &message, maildir: &place.path, name: &name, began }.follow(args.timeout)
}
