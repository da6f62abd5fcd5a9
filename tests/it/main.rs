//! Everything from outside: the library by its public face, the program by its command line.
//! `support` is the language that the tests are written in.

mod conformance;
mod deliver;
mod engine;
mod kills;
mod layering;
mod mta;
mod race;
mod stopping;
mod support;
