//! Everything from outside: the library by its public face, the program by its command line.

mod conformance;
mod engine;
mod layering;
mod support;
