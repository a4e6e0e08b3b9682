//! Learns a risk model from one file, and prints as JSON how good it is on a file of a later time:
//! `cargo run --release -p portcullis-learning --example risk_report -- TRAIN.csv LATER.csv [SEED]`.

use std::path::Path;

use portcullis_learning::risk::{TrainOptions, evaluate, read_records};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let train = read_records(Path::new(&arguments.next().ok_or("give a file to learn from")?))?;
    let later = read_records(Path::new(&arguments.next().ok_or("give a file of a later time")?))?;
    let mut options = TrainOptions::default();
    if let Some(seed) = arguments.next() {
        options.seed = seed.parse()?;
    }
    let report = evaluate(&train, &later, None, &options, &|_, _| {})?;
    serde_json::to_writer_pretty(std::io::stdout(), &report)?;
    Ok(())
}
