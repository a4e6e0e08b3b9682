//! The checker by intervals: each change takes effect as early as it can, and everything must still fit.
//!
//! The register counts, so the order of the changes is known, and each read belongs between two of them. A change takes effect
//! after the one before it, after it was invoked, and after every read of the position before it was invoked; the earliest such
//! moment is best for everything that follows. Linear but for the sorting.

use std::collections::BTreeMap;

use super::{Act, Operation};

/// What is asked of one position of the register.
#[derive(Default)]
struct Position<'a> {
    change: Option<&'a Operation>,
    reads: Vec<&'a Operation>,
}

/// Whether there is an order that respects real time.
///
/// # Errors
/// The first operation for which there is no moment.
pub fn explain(operations: &[Operation]) -> Result<(), String> {
    let mut positions: BTreeMap<u64, Position<'_>> = BTreeMap::new();
    for operation in operations {
        match operation.act {
            Act::Change(to) => {
                let twice = positions.entry(to).or_default().change.replace(operation);
                if twice.is_some() || to == 0 {
                    return Err(format!("two changes, or none, lead to position {to}"));
                }
            }
            Act::Observe(at) => positions.entry(at).or_default().reads.push(operation),
        }
    }
    // Nothing is before this moment: the present position was reached then at the earliest.
    let mut since = 0;
    let mut reached = 0;
    let mut last_read = 0;
    for (at, position) in positions {
        if at > 0 {
            let change = position.change.filter(|_| at == reached + 1);
            let change = change.ok_or_else(|| format!("position {at} was seen or reached, and nothing leads there"))?;
            since = since.max(change.invoked).max(last_read);
            if change.returned.is_some_and(|returned| returned <= since) {
                return Err(format!(
                    "the change to {at} had returned before what must precede it was invoked"
                ));
            }
            reached = at;
        }
        last_read = 0;
        for read in position.reads {
            if read.returned.is_some_and(|returned| returned <= since) {
                return Err(format!(
                    "a read that was over at {:?} saw position {at}, which cannot have been reached before {since}",
                    read.returned
                ));
            }
            last_read = last_read.max(read.invoked);
        }
    }
    Ok(())
}
