//! Finding entries of the decision log through the index: by inspection, by container, by time.

use std::io;

use portcullis_domain::equipment::EquipmentId;
use portcullis_domain::id::InspectionNo;

use crate::consensus::Consensus;
use crate::course;
use crate::errors::ReadError;
use crate::ledger::{self, Timestamp};
use crate::state_store::{
    INSPECTIONS, StateStore, TIMES, container_prefix, inspection_key, number_at_end, numbered, time_prefix,
};

/// Entries read at once when looking for a time.
const READ: usize = 256;

impl Consensus {
    /// Asks the index, with everything in the current view in it.
    async fn look_up<T: Send + 'static>(
        &self,
        look: impl FnOnce(&dyn StateStore) -> io::Result<T> + Send + 'static,
    ) -> Result<T, ReadError> {
        let store = self.index().current(self.replica()).await?;
        self.replica()
            .blocking
            .run(move || look(&*store))
            .await
            .map_err(|error| ReadError::Storage(error.to_string()))
    }

    /// Numbers of the entries about an inspection, open or closed, from entry `from` on, ascending, at most `max`.
    ///
    /// # Errors
    /// [`ReadError::IndexBehind`] while the index is opened or made again, [`ReadError::Storage`] when it is damaged.
    pub async fn entries_of_inspection(
        &self,
        inspection: InspectionNo,
        from: u64,
        max: usize,
    ) -> Result<Vec<u64>, ReadError> {
        self.look_up(move |store| {
            let course = store.get(&inspection_key(inspection.0))?.unwrap_or_default();
            let entries = course::entries(&course)?;
            Ok(entries.into_iter().filter(|entry| *entry >= from).take(max).collect())
        })
        .await
    }

    /// Numbers of the inspections of a container, open and closed, ascending from `from` on, at most `max`.
    ///
    /// # Errors
    /// As [`Consensus::entries_of_inspection`].
    pub async fn inspections_of_container(
        &self,
        container: &EquipmentId,
        from: u64,
        max: usize,
    ) -> Result<Vec<u64>, ReadError> {
        let prefix = container_prefix(container);
        self.look_up(move |store| {
            let keys = store.keys(&prefix, &numbered(prefix.clone(), from), max)?;
            keys.iter().map(|key| number_at_end(key)).collect()
        })
        .await
    }

    /// The last inspection of a container whose number is not above `until`.
    ///
    /// # Errors
    /// As [`Consensus::entries_of_inspection`].
    pub async fn last_inspection_of_container(
        &self,
        container: &EquipmentId,
        until: u64,
    ) -> Result<Option<u64>, ReadError> {
        let prefix = container_prefix(container);
        self.look_up(move |store| {
            let end = numbered(prefix.clone(), until.saturating_add(1));
            store.last(&prefix, &end)?.map(|key| number_at_end(&key)).transpose()
        })
        .await
    }

    /// Numbers of all inspections, open and closed, ascending from `from` on, at most `max`.
    ///
    /// # Errors
    /// As [`Consensus::entries_of_inspection`].
    pub async fn inspections(&self, from: u64, max: usize) -> Result<Vec<u64>, ReadError> {
        self.look_up(move |store| {
            let keys = store.keys(INSPECTIONS, &inspection_key(from), max)?;
            keys.iter().map(|key| number_at_end(key)).collect()
        })
        .await
    }

    /// The first entry that was made at a log time or after it; the size of the log when there is none yet.
    ///
    /// # Errors
    /// As [`Consensus::entries_of_inspection`], and when the entries cannot be read.
    pub async fn first_entry_since(&self, at: Timestamp) -> Result<u64, ReadError> {
        // The index knows the time of the first entry of each bundle. The last bundle that began earlier has the entry, or
        // ends just before it.
        let mark = self.look_up(move |store| {
            let mark = store.last(TIMES, &time_prefix(at))?;
            mark.map(|key| number_at_end(&key)).transpose()
        });
        let mut next = mark.await?.unwrap_or(0);
        loop {
            let entries = self.entries(next, READ).await?;
            if entries.is_empty() {
                return Ok(next);
            }
            for (entry, leaf) in entries {
                let leaf =
                    ledger::leaf(&leaf).map_err(|error| ReadError::Storage(format!("entry {entry}: {error}")))?;
                if leaf.at >= at {
                    return Ok(entry);
                }
                next = entry + 1;
            }
        }
    }
}
