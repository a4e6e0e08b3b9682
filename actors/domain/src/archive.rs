//! Closed inspections: no longer in the ledger, but every event of theirs is in the decision log, and that is enough.

use thiserror::Error;

use crate::course::Spot;
use crate::event::{Actor, Event, Leaf};
use crate::id::{EntryNo, InspectionNo};
use crate::inspection::Inspection;

/// Why leaves are not the course of an inspection.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ArchiveError {
    /// There is no leaf at all.
    #[error("there is no log entry about the inspection")]
    Nothing,
    /// The first leaf does not announce a container.
    #[error("entry {entry}, the first one about the inspection, is {kind}, not an announcement")]
    NotAnnounced {
        /// Which entry.
        entry: EntryNo,
        /// What it is.
        kind: &'static str,
    },
    /// A leaf is not about the inspection that the first one opened.
    #[error("entry {entry} ({kind}) is not about {no}")]
    NotAbout {
        /// Which entry.
        entry: EntryNo,
        /// What it is.
        kind: &'static str,
        /// Which inspection was opened.
        no: InspectionNo,
    },
    /// A leaf does not come after the one before it.
    #[error("entry {entry} does not come after the one before it")]
    Disorder {
        /// Which entry.
        entry: EntryNo,
    },
}

/// Rebuilds an inspection from all log entries about it, ascending: what the ledger held after the last of them.
///
/// # Errors
/// When the entries are not the course of one inspection. That one is left out in the middle does not show.
pub fn rebuild(leaves: impl IntoIterator<Item = (EntryNo, Leaf)>) -> Result<Inspection, ArchiveError> {
    let mut leaves = leaves.into_iter();
    let (first, leaf) = leaves.next().ok_or(ArchiveError::Nothing)?;
    let kind = leaf.event.kind();
    let spot = spot(first, &leaf);
    let (
        Actor::External { source, .. },
        Event::Announced {
            inspection,
            announcement,
            findings,
        },
    ) = (leaf.actor, leaf.event)
    else {
        return Err(ArchiveError::NotAnnounced { entry: first, kind });
    };
    let mut case = Inspection::opened(spot, inspection, source, announcement, findings);
    let mut last = first;
    for (entry, leaf) in leaves {
        if entry <= last || leaf.number <= case.version {
            return Err(ArchiveError::Disorder { entry });
        }
        last = entry;
        let opens_another = matches!(leaf.event, Event::Announced { .. });
        if opens_another || !leaf.event.subjects().inspections.contains(&case.no) {
            return Err(ArchiveError::NotAbout {
                entry,
                kind: leaf.event.kind(),
                no: case.no,
            });
        }
        let spot = self::spot(entry, &leaf);
        match leaf.event {
            Event::NodeUp { .. } | Event::NodeDown { .. } | Event::Placed { .. } => case.broke_off(spot),
            event => case.follow(spot, &leaf.actor, event),
        }
    }
    Ok(case)
}

fn spot(entry: EntryNo, leaf: &Leaf) -> Spot {
    Spot {
        entry,
        number: leaf.number,
        at: leaf.at,
    }
}
