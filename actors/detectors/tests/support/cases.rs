//! Runs a target with many cases, each of them repeatable by its number, and bounds what one may cost.

use std::time::{Duration, Instant};

use crate::allocator::peak_of;
use crate::noise::Noise;

/// No single case may take longer in the test profile, on a machine that is busy with other tests; a case usually takes
/// a thousandth of this.
const CASE_LONGEST: Duration = Duration::from_secs(20);

/// Says which case it was when a test panics in it.
struct Running<'a> {
    target: &'a str,
    seed: u64,
    case: u64,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self { target, seed, case } = self;
            eprintln!("{target}: PORTCULLIS_FUZZ_SEED={seed} case {case}");
        }
    }
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name)
        .ok()
        .map_or(otherwise, |text| text.parse().expect("a number of cases or a seed"))
}

/// Cases of a cheap target, if nobody says.
const CASES: u64 = 10_000;

/// Runs `case` with noise of its own, `PORTCULLIS_FUZZ_CASES` times, and a target that is dear one time in `one_in`. It
/// returns the bytes of heap that it may hold at most.
pub fn run(target: &str, one_in: u64, mut case: impl FnMut(&mut Noise) -> usize) {
    let cases = number("PORTCULLIS_FUZZ_CASES", CASES).div_ceil(one_in);
    let seed = number("PORTCULLIS_FUZZ_SEED", 1);
    let (mut most, mut longest) = (0, Duration::ZERO);
    for case_number in 0..cases {
        let running = Running {
            target,
            seed,
            case: case_number,
        };
        let mut noise =
            Noise(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ case_number.wrapping_mul(0xd134_2543_de82_ef95));
        noise.bits();
        let since = Instant::now();
        let (allowed, peak) = peak_of(|| case(&mut noise));
        let took = since.elapsed();
        assert!(peak <= allowed, "{target} held {peak} bytes, {allowed} are allowed");
        assert!(took <= CASE_LONGEST, "{target} took {took:?}");
        (most, longest) = (most.max(peak), longest.max(took));
        drop(running);
    }
    eprintln!("{target}: {cases} cases, at most {most} bytes and {longest:?} for one");
}
