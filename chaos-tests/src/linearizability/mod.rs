//! Is what clients saw of one container explained by one order of changes and reads that respects real time?
//!
//! The state of a container is the position of its last change in the log: a register that counts 0, 1, 2, ... Answers name
//! the position, so a change says from where to where it went, and a read says where it was. Two checkers that have nothing in
//! common judge the same operations; a run counts only if they agree.

mod intervals;
mod register;
mod search;

pub use intervals::explain;
pub use register::{Subject, registers};
pub use search::is_linearizable;

/// What an operation did or saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Brought the register to this position, from the one before.
    Change(u64),
    /// Saw the register at this position; 0 is before the first change.
    Observe(u64),
}

/// An operation on one register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operation {
    /// When it was invoked. All moments of a register are different, but for those that are not known: 0.
    pub invoked: u64,
    /// When it returned. Without answer it stays open for ever.
    pub returned: Option<u64>,
    /// What it did.
    pub act: Act,
}

/// Both checkers on one register.
///
/// # Errors
/// Why the operations cannot be explained, or that the checkers do not agree, which is a fault of one of them.
pub fn check(operations: &[Operation]) -> Result<(), String> {
    match (explain(operations), is_linearizable(operations)) {
        (Ok(()), true) => Ok(()),
        (Err(why), false) => Err(why),
        (Ok(()), false) => Err("the searching checker finds no order, the one by intervals does".to_owned()),
        (Err(why), true) => Err(format!("the searching checker finds an order, but {why}")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn change(to: u64, invoked: u64, returned: Option<u64>) -> Operation {
        Operation {
            invoked,
            returned,
            act: Act::Change(to),
        }
    }

    fn observe(at: u64, invoked: u64, returned: u64) -> Operation {
        Operation {
            invoked,
            returned: Some(returned),
            act: Act::Observe(at),
        }
    }

    #[test]
    fn both_accept_a_history_in_which_everything_is_seen_in_time() {
        let history = [
            change(1, 1, Some(4)),
            observe(0, 2, 3),
            observe(1, 5, 6),
            change(2, 7, None),
            observe(1, 8, 9),
            observe(2, 10, 11),
        ];
        assert_eq!(check(&history), Ok(()));
        assert_eq!(check(&[]), Ok(()));
    }

    #[test]
    fn both_accept_a_change_of_the_cluster_itself_at_any_time_and_in_order() {
        let history = [
            change(1, 1, Some(2)),
            change(2, 0, None),
            change(3, 0, None),
            observe(1, 3, 4),
            observe(3, 5, 6),
        ];
        assert_eq!(check(&history), Ok(()));
    }

    #[test]
    fn both_find_each_planted_lie() {
        let stale_read = [change(1, 1, Some(2)), observe(0, 3, 4)];
        let read_back_in_time = [change(1, 1, Some(8)), observe(1, 2, 3), observe(0, 4, 5)];
        let read_of_the_future = [observe(1, 1, 2), change(1, 3, Some(4))];
        let read_of_nothing = [change(1, 1, Some(2)), observe(2, 3, 4)];
        let lost_write = [change(1, 1, Some(2)), change(2, 3, Some(4)), observe(1, 5, 6)];
        let changes_in_the_wrong_order = [change(2, 1, Some(2)), change(1, 3, Some(4))];
        let unseen_change_of_the_cluster = [change(1, 0, None), change(2, 1, Some(2)), observe(0, 3, 4)];
        for history in [
            &stale_read[..],
            &read_back_in_time,
            &read_of_the_future,
            &read_of_nothing,
            &lost_write,
            &changes_in_the_wrong_order,
            &unseen_change_of_the_cluster,
        ] {
            assert!(explain(history).is_err(), "{history:?}");
            assert!(!is_linearizable(history), "{history:?}");
        }
    }

    /// Up to four changes and five reads at drawn moments.
    fn histories() -> impl Strategy<Value = Vec<Operation>> {
        let acts = (1_usize..5, proptest::collection::vec(0_u64..5, 0..6));
        (acts, any::<u64>(), any::<u8>()).prop_map(|((changes, reads), order, open)| {
            let acts: Vec<Act> = (1..=changes as u64)
                .map(Act::Change)
                .chain(reads.into_iter().map(Act::Observe))
                .collect();
            // Two moments each, near each other, so that some histories can be explained and some cannot.
            let mut moments: Vec<(u64, usize)> = Vec::new();
            let mut state = order;
            for (index, act) in acts.iter().enumerate() {
                let at = match act {
                    Act::Change(to) => 20 * to,
                    Act::Observe(position) => 20 * position + 10,
                };
                for shift in [0, 15] {
                    state = state
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    moments.push((at + shift + (state >> 60), index));
                }
            }
            moments.sort_unstable();
            let mut operations: Vec<Operation> = acts
                .iter()
                .map(|act| Operation {
                    invoked: 0,
                    returned: None,
                    act: *act,
                })
                .collect();
            for (moment, (_, index)) in (1..).zip(&moments) {
                let operation = &mut operations[*index];
                match operation.invoked {
                    0 => operation.invoked = moment,
                    _ => operation.returned = Some(moment),
                }
            }
            if open & 1 == 1 {
                operations[changes - 1].returned = None;
            }
            if open & 2 == 2 {
                operations[0].invoked = 0;
            }
            operations
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]
        #[test]
        fn both_agree_about_every_small_history(history in histories()) {
            prop_assert_eq!(explain(&history).is_ok(), is_linearizable(&history), "{:?}", explain(&history));
        }
    }

    #[test]
    fn the_drawn_histories_are_of_both_kinds() {
        use proptest::strategy::ValueTree as _;
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        let (mut good, mut bad) = (0, 0);
        for _ in 0..500 {
            let history = histories().new_tree(&mut runner).map(|tree| tree.current());
            match explain(&history.unwrap_or_default()) {
                Ok(()) => good += 1,
                Err(_) => bad += 1,
            }
        }
        assert!(good > 50 && bad > 50, "{good} can be explained, {bad} cannot");
    }
}
