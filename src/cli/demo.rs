//! `demo`: a tour that needs nothing.
use super::Exit;
/// x
#[derive(Clone, Debug, clap::Args)]
pub struct Args {}
pub fn run(_: &Args) -> Exit {
    Exit::Ok
}
