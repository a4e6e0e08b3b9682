//! The checker by search: Wing and Gong's algorithm with Lowe's memory, as the library todc-utils has it.

use todc_utils::linearizability::WGLChecker;
use todc_utils::linearizability::history::{Action, History};
use todc_utils::specifications::Specification;

use super::{Act, Operation};

/// A register that counts.
struct Register;

impl Specification for Register {
    type State = u64;
    type Operation = Act;

    fn init() -> u64 {
        0
    }

    fn apply(act: &Act, state: &u64) -> (bool, u64) {
        match act {
            Act::Change(to) if *to == state + 1 => (true, *to),
            Act::Change(_) => (false, *state),
            Act::Observe(at) => (at == state, *state),
        }
    }
}

/// Whether the search finds an order that respects real time.
pub fn is_linearizable(operations: &[Operation]) -> bool {
    if operations.is_empty() {
        return true;
    }
    // What never returned returns after everything else: it may have happened at any time.
    let end = u64::MAX;
    let mut actions: Vec<(u64, bool, usize)> = Vec::with_capacity(operations.len() * 2);
    for (index, operation) in operations.iter().enumerate() {
        actions.push((operation.invoked, false, index));
        actions.push((operation.returned.unwrap_or(end), true, index));
    }
    // Of moments that are not known, calls come before everything and answers after everything.
    actions.sort_unstable();
    let actions = actions.into_iter().map(|(_, is_answer, index)| {
        let act = operations[index].act;
        (
            index,
            if is_answer {
                Action::Response(act)
            } else {
                Action::Call(act)
            },
        )
    });
    WGLChecker::<Register>::is_linearizable(History::from_actions(actions.collect()))
}
