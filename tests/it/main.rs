//! Everything from outside: the library by its public face, the program by its command line.
//! `support` is the language that the tests are written in.

mod answers;
mod arrival;
mod calls;
mod check;
mod commands;
mod config;
mod conformance;
mod connections;
mod deliver;
mod disk;
mod drain;
mod engine;
mod generate;
mod kills;
mod layering;
mod mta;
mod outage;
mod poison;
mod processes;
mod race;
mod requests;
mod retries;
mod route;
mod send;
mod routing;
mod secrets;
mod servers;
mod sizes;
mod startup;
mod stopping;
mod support;
mod tls;
mod tour;
mod zoo;
