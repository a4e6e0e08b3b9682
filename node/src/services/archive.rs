//! Closed inspections, which the ledger no longer holds: found through the index, rebuilt from the decision log.

use bytes::Bytes;
use portcullis_consensus::{ReadError, View};
use portcullis_domain::archive::rebuild;
use portcullis_domain::codec;
use portcullis_domain::equipment::EquipmentId;
use portcullis_domain::event::Leaf;
use portcullis_domain::id::{EntryNo, InspectionNo};
use portcullis_domain::inspection::Inspection;
use portcullis_wire::watch::ListQuery;
use tonic::Status;

use super::{Gateway, failed_read};

/// The most events of one inspection. With at most 256 pieces of evidence and a few passes an ordinary one has some ten.
const COURSE_MAX: usize = 10_000;
/// The most closed inspections that are rebuilt for one page of a list, whether they are wanted or not.
const REBUILT_MAX: usize = 100;
/// Inspections asked of the index at once.
const NUMBERS: usize = 500;

/// All events of an inspection: entry and leaf, ascending.
pub(super) type Course = Vec<(u64, Bytes)>;

impl Gateway {
    /// All events of an inspection, open or closed, oldest first; none if there is no such inspection.
    pub(super) async fn course(&self, no: InspectionNo) -> Result<Course, Status> {
        let consensus = &self.inner.consensus;
        let failed = |error: ReadError| failed_read(&error);
        let entries = consensus.entries_of_inspection(no, 0, COURSE_MAX + 1).await;
        let entries = entries.map_err(failed)?;
        if entries.len() > COURSE_MAX {
            let why = format!(
                "{no} has more than {COURSE_MAX} events; watch from entry {}",
                entries[0]
            );
            return Err(portcullis_wire::status::internal(&why));
        }
        let mut course = Vec::with_capacity(entries.len());
        for entry in entries {
            course.extend(consensus.entries(entry, 1).await.map_err(failed)?);
        }
        Ok(course)
    }

    /// An inspection that is not open in a view: closed by then, or never there.
    pub(super) async fn closed(&self, view: &View, no: InspectionNo) -> Result<Option<(Inspection, Course)>, Status> {
        if no.0 > view.ledger.number().0 {
            return Ok(None);
        }
        let course = self.course(no).await?;
        if course.is_empty() {
            return Ok(None);
        }
        let damaged = |why: String| portcullis_wire::status::internal(&format!("the log about {no}: {why}"));
        let mut leaves = Vec::with_capacity(course.len());
        for (entry, bytes) in &course {
            let leaf: Leaf = codec::from_bytes(bytes).map_err(|error| damaged(format!("entry {entry}: {error}")))?;
            leaves.push((EntryNo(*entry), leaf));
        }
        let inspection = rebuild(leaves).map_err(|error| damaged(error.to_string()))?;
        Ok(Some((inspection, course)))
    }

    /// The last visit of a container that is not in the port in a view.
    pub(super) async fn last_visit(
        &self,
        view: &View,
        equipment: &EquipmentId,
    ) -> Result<Option<(Inspection, Course)>, Status> {
        let consensus = &self.inner.consensus;
        let last = consensus.last_inspection_of_container(equipment, view.ledger.number().0);
        match last.await.map_err(|error| failed_read(&error))? {
            Some(no) => self.closed(view, InspectionNo(no)).await,
            None => Ok(None),
        }
    }

    /// One page of the closed inspections that a list asks for, ascending, and the last number that was looked at when
    /// there may be more.
    pub(super) async fn closed_page(
        &self,
        view: &View,
        query: &ListQuery,
    ) -> Result<(Vec<Inspection>, Option<InspectionNo>), Status> {
        let mut found = Vec::new();
        let mut rebuilt = 0;
        let mut from = query.after.map_or(0, |after| after.0.saturating_add(1));
        loop {
            let numbers = self.inner.consensus.inspections(from, NUMBERS).await;
            let numbers = numbers.map_err(|error| failed_read(&error))?;
            if numbers.is_empty() {
                return Ok((found, None));
            }
            for no in numbers.into_iter().map(InspectionNo) {
                from = no.0.saturating_add(1);
                if view.ledger.inspection(no).is_some() {
                    continue;
                }
                let Some((inspection, _)) = self.closed(view, no).await? else {
                    // Announced after the view was taken, and so is everything after it.
                    return Ok((found, None));
                };
                rebuilt += 1;
                if query.matches(&inspection) {
                    found.push(inspection);
                }
                if found.len() == query.page_size || rebuilt == REBUILT_MAX {
                    return Ok((found, Some(no)));
                }
            }
        }
    }
}
