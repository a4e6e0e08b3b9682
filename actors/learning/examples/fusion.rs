//! Learns a policy in a world and evaluates it there, or in a second world: what the two functions give as JSON.
//!
//! `cargo run --release -p portcullis-learning --example fusion -- 200000 cluster-config/worlds/calm.toml [other.toml]`

#![allow(clippy::print_stdout, reason = "an example that shows its result")]

use std::path::Path;

use portcullis_learning::evaluate::{FusionInput, fusion};
use portcullis_learning::policy::{LearnOptions, learn_in};
use portcullis_learning::world::World;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: fusion CONTAINERS WORLD.toml [OTHER.toml]";
    let containers: u64 = arguments.next().ok_or(usage)?.parse()?;
    let home = World::load(Path::new(&arguments.next().ok_or(usage)?))?;
    let world = match arguments.next() {
        Some(other) => World::load(Path::new(&other))?,
        None => home.clone(),
    };
    let learned = learn_in(&home, containers, &LearnOptions::default(), &|_, _| ())?;
    let input = FusionInput {
        calibrated_in: Some(&home),
        claims: Some(&learned.claims),
        ..FusionInput::new(&world, &learned.policy, containers, 2)
    };
    let report = fusion(&input, &|_, _| ());
    println!("{}", serde_json::to_string_pretty(&(learned.report, report))?);
    Ok(())
}
