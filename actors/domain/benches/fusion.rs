//! Recorded evidence of all eight modalities, 30 steps for each sensor, to a verified result: the shard fuses it, and the
//! ledger fuses it again and compares.
//!
//! `cargo bench -p portcullis-domain --bench fusion`. Sensors speak at the same samples, or each at samples of its own, which
//! is the worst: the stopping rule is asked at every one of them, and in both cases it never holds.
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench that cannot go on fails")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use portcullis_domain::equipment::EquipmentId;
use portcullis_domain::evidence::{Ability, Evidence, Modality, ReadingRange, Step, Weights};
use portcullis_domain::fusion::Verdict;
use portcullis_domain::id::{
    CommandNo, DeviceId, Digest, EntryNo, Epoch, InspectionNo, PassNo, SampleNo, SourceId, TerminalId, Timestamp,
};
use portcullis_domain::inspection::{Inspection, RecordedEvidence, Stage};
use portcullis_domain::ledger::Ledger;
use portcullis_domain::manifest::{GoodsItem, Manifest};
use portcullis_domain::policy::Policy;

/// 2026-01-01.
const NOW: Timestamp = Timestamp(1_767_225_600_000);
const STEPS: u32 = 30;

/// Weights between release and exam, so that no stopping rule ever holds.
fn evidence(number: u32, modality: Modality, apart: bool) -> Evidence {
    let manifest = modality == Modality::Manifest;
    let steps = if manifest { 1 } else { STEPS };
    let sample = |step: u32| match (manifest, apart) {
        (true, _) => 0,
        (false, true) => 1 + 8 * step + number,
        (false, false) => 1 + step,
    };
    Evidence {
        modality,
        readings: (!manifest).then(|| ReadingRange {
            device: DeviceId::new(format!("{modality}-1")).unwrap(),
            boot: 1,
            first: 1,
            last: u64::from(STEPS),
        }),
        digest: Digest::of(modality.as_str().as_bytes()),
        interpreter: "bench/1".to_owned(),
        captured_at: NOW,
        findings: Vec::new(),
        steps: (0..steps)
            .map(|step| Step {
                sample: SampleNo(sample(step)),
                ability: Ability::Clear,
                weights: Weights([-20, 30, -10, 5, 40, 1_700].map(|weight: i32| weight + step as i32)),
            })
            .collect(),
    }
}

fn inspection(apart: bool) -> Inspection {
    let evidence = (0..).zip(Modality::ALL).map(|(number, modality)| RecordedEvidence {
        entry: EntryNo(u64::from(number)),
        pass: PassNo(u32::from(modality != Modality::Manifest)),
        at: NOW,
        evidence: evidence(number, modality, apart).into(),
    });
    Inspection {
        no: InspectionNo(1),
        version: CommandNo(1),
        equipment: EquipmentId::new("MSKU1234565").unwrap(),
        terminal: TerminalId::new("north").unwrap(),
        source: SourceId::new("tos").unwrap(),
        other_sources: Vec::new(),
        announced_at: NOW,
        ready_at: NOW,
        due_at: None,
        priority: 0,
        manifest: Manifest {
            goods: vec![GoodsItem {
                commodity_code: "080390".to_owned(),
                ..GoodsItem::default()
            }],
            ..Manifest::default()
        }
        .into(),
        findings: Vec::new(),
        stage: Stage::Released,
        passes: PassNo(1),
        pass_epoch: Epoch(1),
        pass_complete: true,
        evidence: evidence.collect(),
        conclusion: None,
        adjudications: Vec::new(),
        departed_at: None,
    }
}

/// What the shard proposes, and whether the ledger comes to the same.
fn verified(ledger: &Ledger, case: &Inspection, policy: &Policy) -> Verdict {
    let proposed = ledger.verdict_of(case, policy);
    let recomputed = ledger.verdict_of(case, policy);
    assert!(recomputed.agrees_with(&proposed));
    recomputed
}

fn fusion(criterion: &mut Criterion) {
    let (ledger, policy) = (Ledger::new(), Policy::first());
    let mut group = criterion.benchmark_group("evidence of 8 modalities to a verified result");
    for (name, apart) in [("samples in common", false), ("samples of their own", true)] {
        let case = inspection(apart);
        let verdict = verified(&ledger, &case, &policy);
        assert!(!verdict.stopped, "{verdict:?}");
        group.bench_function(BenchmarkId::from_parameter(name), |bench| {
            bench.iter(|| verified(&ledger, black_box(&case), &policy));
        });
    }
    group.finish();
}

criterion_group!(benches, fusion);
criterion_main!(benches);
