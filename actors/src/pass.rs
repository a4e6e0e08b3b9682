//! A pass under way: which sensors take part, and what they have said so far.

use std::collections::BTreeMap;
use std::sync::Arc;

use portcullis_domain::command::AbortCause;
use portcullis_domain::equipment::EquipmentId;
use portcullis_domain::evidence::Evidence;
use portcullis_domain::finding::Finding;
use portcullis_domain::fusion::{Case, first_stop};
use portcullis_domain::id::{DeviceId, Digest, InspectionNo, PassNo, SampleNo, Timestamp};
use portcullis_domain::inspection::Inspection;
use portcullis_domain::policy::Policy;
use portcullis_domain::reading::SignedReading;
use tokio::time::Instant;

use crate::source::{SOURCE_BYTES_MAX, Source, kept_bytes};

/// Where a pass stands, as its lane sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Sensors measure.
    Measuring,
    /// Every sensor has said everything; readings are being kept and evidence recorded.
    Recording,
    /// It broke off; the ledger is told.
    Aborting(AbortCause),
}

/// A pass under way.
pub(crate) struct Pass {
    pub(crate) inspection: InspectionNo,
    pub(crate) pass: PassNo,
    pub(crate) equipment: EquipmentId,
    /// The case as it was when the pass began: what is declared does not change during a pass.
    pub(crate) case: Arc<Inspection>,
    pub(crate) started_at: Timestamp,
    pub(crate) started: Instant,
    pub(crate) sources: BTreeMap<DeviceId, Source>,
    pub(crate) stop_sent: bool,
    pub(crate) phase: Phase,
    /// About the whole pass, such as sensors that were not there.
    pub(crate) findings: Vec<Finding>,
}

impl Pass {
    /// Every sensor has said everything.
    pub(crate) fn is_complete(&self) -> bool {
        self.sources.values().all(|source| source.ended)
    }

    /// The first sample at which enough is known, as far as every sensor has spoken.
    pub(crate) fn enough(&self, policy: &Policy, now: Timestamp) -> Option<SampleNo> {
        let running = self.sources.values().filter(|source| !source.ended);
        let through = running.map(|source| source.last_sample).min()?;
        let measured: Vec<Evidence> = self.sources.values().filter_map(Source::evidence).collect();
        let declared = self.case.evidence.iter().filter(|recorded| recorded.pass == PassNo(0));
        let evidence: Vec<&Evidence> = declared.map(|recorded| &*recorded.evidence).chain(&measured).collect();
        let case = Case {
            manifest: &self.case.manifest,
            evidence: &evidence,
            passes: self.pass.0,
            now,
            adrift: &[],
        };
        first_stop(policy, &case, through)
    }

    /// Whether the readings of the pass, and those of this sensor, may have one more.
    pub(crate) fn has_room(&self, device: &DeviceId, reading: &SignedReading, bytes_max: usize) -> bool {
        let more = kept_bytes(reading);
        let all: usize = self.sources.values().map(Source::bytes).sum();
        let own = self.sources.get(device).map_or(0, Source::bytes);
        all + more <= bytes_max && own + more <= SOURCE_BYTES_MAX
    }

    /// The readings of all sensors, to be kept.
    pub(crate) fn take_readings(&mut self) -> Vec<(Digest, Arc<[u8]>)> {
        self.sources.values_mut().filter_map(Source::take_readings).collect()
    }

    /// What the sensors say, in the order of their ids.
    pub(crate) fn evidence(&mut self) -> Vec<Evidence> {
        // What concerns the whole pass stands with the first that speaks.
        if let Some(first) = self.sources.values_mut().find(|source| source.evidence().is_some()) {
            for finding in &self.findings {
                first.note_from(SampleNo(0), finding.clone());
            }
        }
        self.sources.values().filter_map(Source::evidence).collect()
    }
}
