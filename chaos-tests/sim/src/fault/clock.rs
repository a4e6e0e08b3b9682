//! Clocks on the wall that are wrong.

use std::time::Duration;

use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use super::{Active, Kind, any};
use crate::world::World;

const MINUTES_MS: i64 = 300_000;

pub(super) fn begin(world: &mut World, kind: Kind, rng: &mut ChaCha8Rng, _: Duration) -> Option<Box<dyn Active>> {
    let sign = if rng.random() { 1 } else { -1 };
    let (victim, moves) = match kind {
        Kind::ClockAhead => (any(world, rng)?, Moves::To(MINUTES_MS)),
        Kind::ClockBehind => (any(world, rng)?, Moves::To(-MINUTES_MS)),
        Kind::LeaderClock => (world.leader()?, Moves::To(sign * rng.random_range(3_000..120_000))),
        Kind::ClockSteps => (any(world, rng)?, Moves::Steps(rng.random_range(500..8_000))),
        Kind::ClockDrifts => (any(world, rng)?, Moves::Drifts),
        _ => return None,
    };
    Some(Box::new(Skew {
        victim,
        moves,
        largest: 0,
    }))
}

enum Moves {
    To(i64),
    Steps(i64),
    Drifts,
}

struct Skew {
    victim: u64,
    moves: Moves,
    largest: i64,
}

impl Active for Skew {
    fn tick(&mut self, world: &mut World, since: Duration) {
        let since = since.as_millis() as i64;
        let skew = match self.moves {
            Moves::To(skew) => skew,
            Moves::Steps(size) => match since / 700 % 3 {
                0 => size,
                1 => -size,
                _ => 0,
            },
            Moves::Drifts => since / 10,
        };
        if world.slot(self.victim).machine.consensus().is_some() {
            self.largest = self.largest.max(skew.abs());
        }
        world.slot(self.victim).machine.set_skew(skew);
        world.ahead = world.ahead.max(Duration::from_millis(skew.max(0) as u64));
    }

    fn end(&mut self, world: &mut World) {
        world.slot(self.victim).machine.set_skew(0);
    }

    fn proof(&mut self, _: &mut World) -> Option<String> {
        (self.largest > 0).then(|| format!("node {} was up to {} ms off", self.victim, self.largest))
    }
}
