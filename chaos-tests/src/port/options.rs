//! What a port is like: how large, how busy, how honest.

use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::history::Misdeed;

/// What a port is like. The defaults are busy and moderately hostile.
#[derive(Debug, Clone, PartialEq)]
pub struct PortOptions {
    /// Everything that is drawn comes from here.
    pub seed: u64,
    /// Lanes with all devices, from 1.
    pub lanes: u32,
    /// Containers that are announced in a minute of port time, on average.
    pub per_minute: f64,
    /// So many different containers come, then the first ones come again.
    pub containers: u32,
    /// The deadline of every call, real time.
    pub call: Duration,
    /// Between two calls of an officer, reader or gate, real time, on average.
    pub pause: Duration,
    /// Between two acts of the operator, real time, on average.
    pub operator_pause: Duration,
    /// Readers; they call one after the other.
    pub readers: u32,
    /// Officers. Two are needed for them to meet at the same container.
    pub officers: u32,
    /// Clients that follow all events.
    pub watchers: u32,
    /// What clients and devices do wrong.
    pub misbehaviour: Misbehaviour,
}

/// How often something is done wrong, thousandths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misbehaviour {
    /// A pass of a sensor goes wrong in one of these ways; the order is that of [`Misdeed::ALL`].
    pub misdeeds: [u32; 9],
    /// A called-up truck never comes.
    pub no_show: u32,
    /// An attachment of a device lasts only seconds. Others last up to minutes.
    pub drop: u32,
    /// A device attaches twice at the same time.
    pub twice: u32,
    /// A request is repeated, soon or late.
    pub repeat: u32,
    /// A request id is used for another body.
    pub reuse: u32,
    /// Two terminal systems announce the same container.
    pub both: u32,
    /// Two officers judge the same container at the same time.
    pub together: u32,
    /// Somebody asks at the wrong moment.
    pub wrong_moment: u32,
}

impl Default for PortOptions {
    fn default() -> Self {
        Self {
            seed: 1,
            lanes: 4,
            per_minute: 4.0,
            containers: 400,
            call: Duration::from_secs(3),
            pause: Duration::from_millis(200),
            operator_pause: Duration::from_secs(4),
            readers: 2,
            officers: 2,
            watchers: 2,
            misbehaviour: Misbehaviour::default(),
        }
    }
}

impl Default for Misbehaviour {
    fn default() -> Self {
        Self {
            misdeeds: [20, 20, 20, 20, 20, 20, 20, 8, 10],
            no_show: 20,
            drop: 300,
            twice: 80,
            repeat: 150,
            reuse: 50,
            both: 50,
            together: 150,
            wrong_moment: 150,
        }
    }
}

impl Misbehaviour {
    /// Everybody does what is right.
    pub const NONE: Self = Self {
        misdeeds: [0; 9],
        no_show: 0,
        drop: 0,
        twice: 0,
        repeat: 0,
        reuse: 0,
        both: 0,
        together: 0,
        wrong_moment: 0,
    };

    /// The misdeed that a draw below a thousand stands for, if any.
    pub(super) fn misdeed(&self, mut draw: u32) -> Option<Misdeed> {
        for (kind, share) in Misdeed::ALL.into_iter().zip(self.misdeeds) {
            if draw < share {
                return Some(kind);
            }
            draw -= share;
        }
        None
    }
}

impl PortOptions {
    /// A port of which everything is drawn: one to six lanes, quiet to overloaded, honest to hostile.
    pub fn drawn(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        // Of its own stream, so that what is drawn here is not drawn again by a client.
        rng.set_stream(u64::MAX);
        let lanes = rng.random_range(1..=6);
        let usual = Misbehaviour::default();
        let mut share = |usual: u32| match rng.random_range(0..4) {
            0 => 0,
            _ => rng.random_range(0..=2 * usual),
        };
        let misbehaviour = Misbehaviour {
            misdeeds: usual.misdeeds.map(&mut share),
            no_show: share(usual.no_show),
            drop: share(usual.drop),
            twice: share(usual.twice),
            repeat: share(usual.repeat),
            reuse: share(usual.reuse),
            both: share(usual.both),
            together: share(usual.together),
            wrong_moment: share(usual.wrong_moment),
        };
        Self {
            seed,
            lanes,
            per_minute: f64::from(lanes) * rng.random_range(0.3..1.5),
            containers: rng.random_range(30..=400),
            call: Duration::from_millis(rng.random_range(800..=4000)),
            pause: Duration::from_millis(rng.random_range(80..=500)),
            operator_pause: Duration::from_millis(rng.random_range(1500..=8000)),
            readers: rng.random_range(1..=3),
            officers: rng.random_range(1..=3),
            watchers: rng.random_range(1..=3),
            misbehaviour,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_port_and_seeds_differ() {
        assert_eq!(PortOptions::drawn(7), PortOptions::drawn(7));
        let all: Vec<PortOptions> = (0..40).map(PortOptions::drawn).collect();
        assert!(all.windows(2).all(|pair| pair[0] != pair[1]));
        assert!((1..=6).all(|lanes| all.iter().any(|port| port.lanes == lanes)));
    }

    #[test]
    fn misdeeds_are_as_frequent_as_their_shares_say() {
        let usual = Misbehaviour::default();
        for (kind, share) in Misdeed::ALL.into_iter().zip(usual.misdeeds) {
            let drawn = (0..1000).filter(|draw| usual.misdeed(*draw) == Some(kind)).count();
            assert_eq!(drawn, share as usize, "{}", kind.as_str());
        }
        assert_eq!(Misbehaviour::NONE.misdeed(0), None);
    }
}
