//! Values that the tests of this crate share.

use std::time::Duration;

use portcullis_domain::command::AbortCause;
use portcullis_domain::drift::{Alarm, ChartKey, Trend};
use portcullis_domain::equipment::EquipmentId;
use portcullis_domain::event::{Actor, Event};
use portcullis_domain::evidence::{Ability, Evidence, Modality, Noted, ReadingRange, Step, ThreatFamily, Weights};
use portcullis_domain::finding::{Finding, FindingCode};
use portcullis_domain::fusion::{Case, Reason, Verdict, judge};
use portcullis_domain::id::{
    BootId, ClusterId, CommandNo, Digest, EntryNo, Epoch, Incarnation, InspectionNo, LaneId, NodeId, PassNo, SampleNo,
    Timestamp,
};
use portcullis_domain::inspection::{Adjudication, Conclusion, Inspection, RecordedEvidence, Ruling, Stage};
use portcullis_domain::lane::{DeviceKind, DeviceSpec, LaneSpec};
use portcullis_domain::manifest::{Amount, Announcement, Document, GoodsItem, Manifest, Party, PartyRole, Personal};
use portcullis_domain::message::{Envelope, Feature, FromDevice, LaneLoad, Message, Steer, ToDevice};
use portcullis_domain::placement::{ActorKey, Placement};
use portcullis_domain::policy::{Policy, Tier};
use portcullis_domain::reading::{
    AbilityAssessment, AlarmDecision, BoundingBox, Calibrant, Candidate, DetectorCounts, DriftSpectrum, EnergyImage,
    ImageStrip, IonMobility, Iq, MagneticProfile, MagneticSensor, NqrWaveform, Polarity, RadiationKind,
    RadiationSample, Reading, ReadingContent, ReadingHeader, Recognition, References, RowRange, SealReading, SealState,
    SignedReading, SourceDocument, Spectrum, SwabPurpose, ThreatCategory, ThreatFlag, ThreatObject, ThreatReport,
    TraceAlarm, Weighing,
};

use crate::beat::{Beat, Load, LogPoint};
use crate::context::Context;
use crate::device::Hello;
use crate::link::{Class, DeviceOpen, Frame, Hello as LinkHello, Nack, NackReason, Tell};

pub(crate) const PARTY: &str = "Example Trading Ltd";

pub(crate) fn equipment() -> EquipmentId {
    EquipmentId::new("MSKU1234565").unwrap()
}

pub(crate) fn context() -> Context {
    Context {
        source: "tos-1".parse().unwrap(),
        request: "r-1".parse().unwrap(),
        principal: "clerk".parse().unwrap(),
    }
}

pub(crate) fn finding() -> Finding {
    Finding::new(FindingCode::CheckDigitWrong, "equipment_id", "it ends in 7")
}

pub(crate) fn actor_keys() -> Vec<ActorKey> {
    vec![
        ActorKey::Lane(LaneId(3)),
        ActorKey::Fusion(0),
        ActorKey::Fusion(63),
        ActorKey::Scheduler("north".parse().unwrap()),
        ActorKey::Placement,
    ]
}

pub(crate) fn actors() -> Vec<Actor> {
    let Context {
        source,
        request,
        principal,
    } = context();
    vec![
        Actor::External {
            source,
            request,
            principal,
        },
        Actor::Placed {
            key: ActorKey::Fusion(7),
            epoch: Epoch(9),
        },
        Actor::Cluster,
    ]
}

pub(crate) fn placement() -> Placement {
    Placement {
        node: NodeId(2),
        boot: BootId(77),
        epoch: Epoch(5),
        live: true,
    }
}

pub(crate) fn announcement() -> Announcement {
    Announcement {
        equipment: equipment(),
        terminal: "north".parse().unwrap(),
        ready_at: Some(Timestamp(1_000)),
        due_at: Some(Timestamp(2_000)),
        priority: 3,
        manifest: Manifest {
            document: Some(Document {
                digest: Digest::of(b"document"),
                format: "wco-dm/3.6".to_owned(),
                reference: Some("MRN-1".to_owned()),
            }),
            goods: vec![GoodsItem {
                sequence: 1,
                commodity_code: "847130".to_owned(),
                description: "laptops".to_owned(),
                gross_mass_g: Some(1_200_000),
                net_mass_g: Some(1_100_000),
                packages: Some(40),
                origin: "NL".to_owned(),
                amount: Some(Amount {
                    hundredths: 12_345_600,
                    currency: "EUR".to_owned(),
                }),
                dangerous_goods: Some(3480),
            }],
            gross_mass_g: Some(1_200_000),
            tare_mass_g: None,
            size_type: "45G1".to_owned(),
            empty: false,
            dispatch_country: "NL".to_owned(),
            seals: vec!["S-1".to_owned()],
            parties: vec![Party {
                role: PartyRole::Importer,
                identity: Personal::Open {
                    salt: [1; 16],
                    value: PARTY.to_owned(),
                },
            }],
        },
        findings: vec![finding()],
    }
}

pub(crate) fn lane_spec() -> LaneSpec {
    LaneSpec {
        id: LaneId(3),
        terminal: "north".parse().unwrap(),
        devices: vec![
            DeviceSpec {
                id: "rpm-3".parse().unwrap(),
                kind: DeviceKind::Sensor(Modality::Radiation),
                public_key: [1; 32],
            },
            DeviceSpec {
                id: "gate-3".parse().unwrap(),
                kind: DeviceKind::Controller,
                public_key: [2; 32],
            },
        ],
        nodes: vec![NodeId(1), NodeId(2)],
        usual_pass_s: 180,
        scheduled: true,
    }
}

pub(crate) fn readings() -> Vec<Reading> {
    let header = ReadingHeader {
        device: "rpm-3".parse().unwrap(),
        boot: 4,
        sequence: 12,
        captured_at: Timestamp(5_000),
        inspection: Some(InspectionNo(9)),
        equipment: Some(equipment()),
        sample: SampleNo(2),
    };
    let background = ReadingHeader {
        inspection: None,
        equipment: None,
        sample: SampleNo(0),
        ..header.clone()
    };
    let sample = RadiationSample {
        real_time_us: 100_000,
        detectors: vec![
            DetectorCounts {
                name: "Aa1".to_owned(),
                kind: RadiationKind::Gamma,
                live_time_us: 99_000,
                counts: 321,
                spectrum: Some(Spectrum {
                    calibration_kev: vec![0.0, 2.9, 1e-6],
                    counts: vec![0, 300, 21],
                }),
            },
            DetectorCounts {
                name: "Na1".to_owned(),
                kind: RadiationKind::Neutron,
                live_time_us: 100_000,
                counts: 0,
                spectrum: None,
            },
        ],
    };
    let contents = [
        (header.clone(), ReadingContent::Radiation(sample.clone())),
        (background.clone(), ReadingContent::RadiationBackground(sample)),
        (
            header.clone(),
            ReadingContent::Weighing(Weighing {
                gross_mass_kg: 31_000,
                vehicle_mass_kg: Some(14_500),
                sigma_kg: None,
                speed_mm_s: 0,
                axles_kg: vec![7_000, 12_000, 12_000],
            }),
        ),
        (
            header.clone(),
            ReadingContent::Recognition(Recognition {
                candidates: vec![Candidate {
                    text: "MSKU123456?".to_owned(),
                    confidence_permille: 870,
                }],
                seal: Some(SealReading {
                    state: SealState::Broken,
                    candidates: vec![Candidate {
                        text: "SL0012345".to_owned(),
                        confidence_permille: 640,
                    }],
                }),
            }),
        ),
        (
            background,
            ReadingContent::SourceDocument(SourceDocument {
                digest: Digest::of(b"n42"),
                format: "n42-2006".to_owned(),
                findings: vec![finding()],
            }),
        ),
        (
            header.clone(),
            ReadingContent::Nqr(NqrWaveform {
                carrier_hz: 3_410_000,
                sample_rate_hz: 100_000,
                femtovolts_per_count: 250,
                echoes: 2,
                echo_spacing_us: 500,
                window_start_us: 150,
                goods_temperature_mk: Some(297_150),
                quality_factor: 95,
                quality_factor_empty: 120,
                picovolts_per_mole: 900,
                echo_train: vec![
                    Iq { i: 3, q: -4 },
                    Iq {
                        i: i32::MIN,
                        q: i32::MAX,
                    },
                ],
                reference: vec![Iq { i: 0, q: 1 }],
            }),
        ),
        (
            header.clone(),
            ReadingContent::MagneticProfile(MagneticProfile {
                earth_pt: [18_000_000, 1_000_000, -45_000_000],
                box_length_mm: 12_192,
                positions_mm: vec![-1_000, 250, 1_500],
                sensors: vec![MagneticSensor {
                    x_mm: 0,
                    y_mm: -2_200,
                    z_mm: 1_500,
                    noise_pt: 20,
                    field_pt: vec![48_477_000, 48_490_123, i64::MIN],
                }],
            }),
        ),
        (header.clone(), ReadingContent::ImageStrip(image_strip())),
        (header.clone(), ReadingContent::ThreatReport(threat_report())),
        (header, ReadingContent::IonMobility(ion_mobility())),
    ];
    contents.map(|(header, content)| Reading { header, content }).to_vec()
}

fn image_strip() -> ImageStrip {
    ImageStrip {
        first_column: 120,
        columns_planned: Some(1_500),
        width: 2,
        height: 3,
        column_um: 5_000,
        row_um: 5_500,
        container_rows: Some(RowRange { first: 1, end: 3 }),
        energies: vec![
            EnergyImage {
                endpoint_kev: 6_000,
                references: Some(References {
                    dark: vec![100, 101, 102],
                    air: vec![50_000, 50_100, 50_200],
                }),
                pixels: vec![49_000, 1_000, 2_000, 49_001, 1_001, 2_001],
            },
            EnergyImage {
                endpoint_kev: 9_000,
                references: None,
                pixels: vec![60_000, 0, 65_535, 59_999, 1, 2],
            },
        ],
    }
}

fn threat_report() -> ThreatReport {
    ThreatReport {
        maker: "Acme".to_owned(),
        algorithm: "find-it".to_owned(),
        version: "3.1".to_owned(),
        decision: AlarmDecision::Alarm,
        abort: Some("TIME_OUT".to_owned()),
        test_prevalence_ppm: Some(500_000),
        objects: vec![ThreatObject {
            flag: ThreatFlag::Threat,
            category: ThreatCategory::Contraband,
            ability: AbilityAssessment::NoInterference,
            probability_ppm: Some(0),
            bounds: Some(BoundingBox {
                column: 0,
                row: 4,
                width: 10,
                height: 12,
            }),
        }],
    }
}

fn ion_mobility() -> IonMobility {
    IonMobility {
        swab: "swab-17".to_owned(),
        purpose: SwabPurpose::Sample,
        polarity: Polarity::Negative,
        spectrum: Some(DriftSpectrum {
            start_ns: 0,
            step_ns: 20_000,
            intensities: vec![0, 400, 70_000],
            full_scale: Some(1_000_000),
            calibrant: Some(Calibrant {
                name: "4-nitrobenzonitrile".to_owned(),
                reduced_mobility: 16_520,
                expected_ns: 12_500_000,
            }),
        }),
        alarms: vec![TraceAlarm {
            substance: "RDX".to_owned(),
            channel: "RDX-Cl".to_owned(),
            true_alarm_ppm: None,
            false_alarm_ppm: Some(10_000),
        }],
    }
}

pub(crate) fn hello() -> Hello {
    Hello {
        lane: LaneId(3),
        device: "rpm-3".parse().unwrap(),
        boot: 4,
    }
}

pub(crate) fn from_device() -> Vec<FromDevice> {
    vec![
        FromDevice::Reading(SignedReading {
            body: vec![1, 2],
            signature: vec![3; 64],
        }),
        FromDevice::Arrived { equipment: equipment() },
        FromDevice::PassEnded {
            inspection: InspectionNo(9),
            pass: PassNo(1),
        },
    ]
}

pub(crate) fn to_device() -> Vec<ToDevice> {
    let (inspection, lane_epoch, entry) = (InspectionNo(9), Epoch(5), EntryNo(30));
    vec![
        ToDevice::Welcome { lane_epoch },
        ToDevice::CallUp {
            inspection,
            equipment: equipment(),
            lane_epoch,
            entry,
        },
        ToDevice::Start {
            inspection,
            equipment: equipment(),
            pass: PassNo(1),
            lane_epoch,
        },
        ToDevice::Continue {
            inspection,
            sample: SampleNo(7),
        },
        ToDevice::Stop {
            inspection,
            sample: SampleNo(8),
        },
        ToDevice::Barrier {
            open: true,
            inspection,
            equipment: equipment(),
            lane_epoch,
            entry,
        },
        ToDevice::Refused {
            sequence: 4,
            reason: "SIGNATURE_WRONG".to_owned(),
            detail: "sign again".to_owned(),
        },
        ToDevice::Detached {
            reason: "LANE_MOVED".to_owned(),
        },
    ]
}

pub(crate) fn tell() -> Tell {
    let feature = Feature {
        lane: LaneId(3),
        lane_epoch: Epoch(5),
        inspection: InspectionNo(9),
        pass: PassNo(1),
        device: "rpm-3".parse().unwrap(),
        modality: Modality::Radiation,
        sample: SampleNo(4),
        ability: Ability::Degraded,
        weights: Weights([0, 0, 120, 0, 0, -4]),
        last: true,
        sources: 3,
    };
    Tell {
        id: 8,
        ttl: Duration::from_millis(250),
        envelope: Envelope {
            to: ActorKey::Fusion(9),
            to_epoch: Epoch(6),
            from: ActorKey::Lane(LaneId(3)),
            traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned(),
            message: Message::Feature(feature),
        },
    }
}

pub(crate) fn frames() -> Vec<Frame> {
    let with = |message| {
        let Tell { id, ttl, envelope } = tell();
        Frame::Tell(Tell {
            id,
            ttl,
            envelope: Envelope { message, ..envelope },
        })
    };
    let mut frames = vec![
        Frame::Hello(LinkHello {
            cluster: ClusterId([5; 16]),
            node: NodeId(1),
            boot: BootId(77),
            proto_min: 1,
            proto_max: 1,
            applied: CommandNo(40),
            to: NodeId(2),
        }),
        Frame::Tell(tell()),
        with(Message::Steer(Steer {
            inspection: InspectionNo(9),
            pass: PassNo(1),
            sample: SampleNo(6),
            stop: true,
        })),
        with(Message::LaneLoad(LaneLoad {
            lane: LaneId(3),
            epoch: Epoch(5),
            live: vec![Modality::Radiation, Modality::Ocr],
            controller: true,
            free_at: Timestamp(9_000),
            pass_s: 170,
        })),
        Frame::Credit {
            class: Class::Actor,
            count: 64,
        },
        Frame::Credit {
            class: Class::Device,
            count: 1,
        },
        Frame::DeviceOpen(DeviceOpen {
            attachment: 1,
            lane: LaneId(3),
            lane_epoch: Epoch(5),
            device: "rpm-3".parse().unwrap(),
            boot: 4,
        }),
        Frame::DeviceClose {
            attachment: 1,
            reason: "DEVICE_GONE".to_owned(),
        },
    ];
    frames.extend(
        [
            NackReason::NotHere,
            NackReason::OtherEpoch,
            NackReason::Overloaded,
            NackReason::Expired,
            NackReason::Invalid,
        ]
        .map(|reason| {
            Frame::Nack(Nack {
                id: 8,
                reason,
                epoch: Epoch(7),
            })
        }),
    );
    frames.extend(
        from_device()
            .into_iter()
            .map(|message| Frame::DeviceIn { attachment: 1, message }),
    );
    frames.extend(
        to_device()
            .into_iter()
            .map(|message| Frame::DeviceOut { attachment: 1, message }),
    );
    frames
}

pub(crate) fn beat() -> Beat {
    Beat {
        cluster: ClusterId([5; 16]),
        node: NodeId(1),
        boot: BootId(77),
        applied: CommandNo(40),
        head: LogPoint {
            size: 300,
            root: Digest::of(b"head"),
        },
        checkpoints: vec![LogPoint {
            size: 256,
            root: Digest::of(b"256"),
        }],
        port_time: Timestamp(9_000),
        unix_time_ms: 8_000,
        load: Load {
            actors: 20,
            devices: 8,
            memory_bytes: 40 << 20,
        },
        term: 2,
        leads: true,
        address: "127.0.0.1:7401".to_owned(),
        capacity: 100,
        incarnation: Incarnation([6; 16]),
        version: 1,
    }
}

fn evidence(modality: Modality, weights: Weights, ability: Ability) -> Evidence {
    let readings = ReadingRange {
        device: format!("{modality}-3").parse().unwrap(),
        boot: 4,
        first: 1,
        last: 12,
    };
    Evidence {
        modality,
        readings: (modality != Modality::Manifest).then_some(readings),
        digest: Digest::of(b"readings"),
        interpreter: "sample/1".to_owned(),
        captured_at: Timestamp(5_000),
        findings: vec![Noted {
            sample: SampleNo(0),
            finding: finding(),
        }],
        steps: vec![
            Step {
                sample: SampleNo(0),
                ability,
                weights: Weights::ZERO,
            },
            Step {
                sample: SampleNo(1),
                ability,
                weights,
            },
        ],
    }
}

pub(crate) fn reasons() -> Vec<Reason> {
    let tier = Tier::Review;
    vec![
        Reason::Score {
            family: ThreatFamily::Nuclear,
            score: 3,
            threshold: -25_000,
            tier,
        },
        Reason::Missing {
            modality: Modality::Ocr,
            tier,
        },
        Reason::NotSeen {
            modality: Modality::Radiation,
            ability: Ability::Shielded,
            tier,
        },
        Reason::Stale {
            modality: Modality::Weighbridge,
            age_s: 90_000,
            tier,
        },
        Reason::Found {
            code: FindingCode::NeutronAlarm,
            tier,
        },
        Reason::PassesExhausted { passes: 8 },
        Reason::NothingAgainst,
        Reason::Drifting {
            chart: ChartKey::Declarations,
            tier,
        },
    ]
}

/// An inspection that went all the way, judged by `policy`.
pub(crate) fn concluded(policy: &Policy) -> Inspection {
    let manifest = announcement().manifest.sealed();
    let evidence: Vec<Evidence> = vec![
        evidence(Modality::Manifest, Weights([1_234, 0, 0, 7, 0, 999]), Ability::Clear),
        evidence(
            Modality::Radiation,
            Weights([0, 0, 33_333, 0, 0, -5]),
            Ability::Degraded,
        ),
        evidence(Modality::Weighbridge, Weights([11, 12, 13, 14, 15, 16]), Ability::Clear),
    ];
    let all: Vec<&Evidence> = evidence.iter().collect();
    let now = Timestamp(6_000);
    let verdict = judge(
        policy,
        &Case {
            manifest: &manifest,
            evidence: &all,
            passes: 1,
            now,
            adrift: &[],
        },
    );
    let recorded = evidence
        .into_iter()
        .enumerate()
        .map(|(index, evidence)| RecordedEvidence {
            entry: EntryNo(20),
            pass: PassNo(u32::from(index > 0)),
            at: Timestamp(5_500),
            evidence: evidence.into(),
        });
    Inspection {
        no: InspectionNo(9),
        version: CommandNo(30),
        equipment: equipment(),
        terminal: "north".parse().unwrap(),
        source: "tos-1".parse().unwrap(),
        other_sources: vec!["customs".parse().unwrap()],
        announced_at: Timestamp(1_000),
        ready_at: Timestamp(1_000),
        due_at: None,
        priority: 0,
        manifest: manifest.into(),
        findings: vec![finding()],
        stage: Stage::UnderReview,
        passes: PassNo(1),
        pass_epoch: Epoch(5),
        pass_complete: true,
        evidence: recorded.collect(),
        conclusion: Some(Conclusion {
            verdict,
            policy: policy.digest(),
            evidence: vec![0, 1, 2],
            at: now,
            entry: EntryNo(25),
        }),
        adjudications: vec![Adjudication {
            ruling: Ruling::Hold,
            by: "officer-1".parse().unwrap(),
            reason: "seal broken".to_owned(),
            at: Timestamp(7_000),
        }],
        departed_at: None,
    }
}

/// One event of each kind, in the order of their tags.
pub(crate) fn events() -> Vec<Event> {
    let policy = Policy::first();
    let (inspection, lane, node, boot) = (InspectionNo(9), LaneId(3), NodeId(2), BootId(77));
    let one = || evidence(Modality::Radiation, Weights([1, 2, 3, 4, 5, 6]), Ability::Clear);
    let verdict = Verdict {
        tier: Tier::Review,
        scores: Weights([1, 2, 3, 4, 5, 6]),
        at_sample: SampleNo(6),
        stopped: true,
        reasons: reasons(),
    };
    let mut announcement = announcement();
    announcement.manifest = announcement.manifest.sealed();
    vec![
        Event::Founded {
            cluster: ClusterId([5; 16]),
            policy: policy.clone(),
        },
        Event::NodeUp {
            node,
            boot,
            capacity: 100,
            version: 1,
            aborted: vec![inspection],
        },
        Event::NodeDown {
            node,
            boot,
            aborted: vec![],
        },
        Event::Placed {
            key: ActorKey::Lane(lane),
            epoch: Epoch(5),
            node,
            boot,
            aborted: vec![],
        },
        Event::VersionActivated { version: 2 },
        Event::LaneDefined { spec: lane_spec() },
        Event::LaneOpened { lane },
        Event::LaneClosed { lane },
        Event::PolicyAdded { policy: policy.clone() },
        Event::ModelAdded {
            model: Digest::of(&[1, 2, 3]),
            size: 3,
        },
        Event::PolicyActivated {
            policy: policy.digest(),
        },
        Event::PolicyAdopted {
            policy: policy.clone(),
            reason: "as learned in March".into(),
        },
        Event::Announced {
            inspection,
            announcement,
            findings: vec![finding()],
        },
        Event::AnnouncedAgain {
            inspection,
            equipment: equipment(),
            findings: vec![finding()],
        },
        Event::Profiled {
            inspection,
            evidence: one(),
            queued: true,
        },
        Event::Enqueued { inspection },
        Event::Assigned {
            inspection,
            lane,
            claimed: true,
        },
        Event::PassStarted {
            inspection,
            lane,
            pass: PassNo(1),
        },
        Event::EvidenceRecorded {
            inspection,
            pass: PassNo(1),
            evidence: vec![one()],
            completes_pass: true,
        },
        Event::Aborted {
            inspection,
            lane,
            cause: AbortCause::DeviceLost,
        },
        Event::Concluded {
            inspection,
            equipment: equipment(),
            policy: policy.digest(),
            evidence: vec![0, 1],
            verdict,
        },
        Event::EvidenceAfterConclusion {
            inspection,
            evidence: vec![one()],
            reopened: false,
        },
        Event::Adjudicated {
            inspection,
            equipment: equipment(),
            ruling: Ruling::Seize,
            reason: "contraband".to_owned(),
        },
        Event::Departed {
            inspection,
            equipment: equipment(),
        },
        Event::NodeEnrolled {
            node,
            incarnation: Incarnation([6; 16]),
            address: "127.0.0.1:7401".to_owned(),
        },
        Event::NodeDrained { node },
        Event::NodeUndrained { node },
        Event::NodeRemoved { node },
        Event::Restored {
            cluster: ClusterId([6; 16]),
            former: ClusterId([5; 16]),
            size: 9,
            root: policy.digest(),
        },
        Event::DriftAlarmed {
            alarm: Alarm {
                chart: ChartKey::Device("l3-radiation".parse().unwrap()),
                trend: Trend::Falls,
                lane: Some(lane),
                modality: Some(Modality::Radiation),
                after: 2_411,
                run: 312,
                since: Timestamp(5_000),
                inspection,
            },
        },
        Event::ChartReset {
            chart: ChartKey::Declarations,
            lane: None,
            reason: "a new trade lane".to_owned(),
        },
    ]
}
