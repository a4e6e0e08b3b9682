//! A sensor: measures a pass honestly, or does one of the things that a broken or wicked one does.

use std::sync::Arc;

use portcullis_domain::equipment::EquipmentId;
use portcullis_domain::evidence::Modality;
use portcullis_domain::id::{InspectionNo, PassNo, SampleNo, Timestamp};
use portcullis_domain::message::FromDevice;
use portcullis_domain::reading::{Reading, ReadingContent, ReadingHeader, SignedReading};
use portcullis_simulator::ReadingSource;
use rand::RngExt as _;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use super::client::Client;
use super::device::{Device, Outbox, say};
use super::lanes::sign;
use crate::history::Misdeed;

/// Readings of earlier passes that are kept to be replayed.
const KEPT: usize = 16;
/// How often a flood repeats a reading.
const FLOOD: u32 = 300;
/// How far a wrong clock is off, milliseconds of the port.
const OFF_MS: u64 = 30 * 3600 * 1000;

/// What is measured.
#[derive(Debug, Clone)]
pub(super) struct About {
    pub(super) modality: Modality,
    pub(super) inspection: InspectionNo,
    pub(super) equipment: EquipmentId,
    pub(super) pass: PassNo,
}

/// The pass that an attached sensor measures. It ends when this is dropped.
#[derive(Default)]
pub(super) struct Measuring {
    now: Option<(InspectionNo, PassNo, AbortHandle)>,
    tasks: JoinSet<()>,
}

impl Measuring {
    /// The pass has started.
    pub(super) fn start(&mut self, device: &Arc<Device>, client: &mut Client, about: About, outbox: Outbox) {
        if let Some((_, _, former)) = self.now.take() {
            former.abort();
        }
        while self.tasks.try_join_next().is_some() {}
        let draw = client.rng.random_range(0..1000);
        let calm = device.shared.is_calm();
        let misdeed = device.shared.options.misbehaviour.misdeed(draw).filter(|_| !calm);
        device.shared.counts().happened(&match misdeed {
            Some(misdeed) => format!("pass {}", misdeed.as_str()),
            None => "pass honest".to_owned(),
        });
        let (inspection, pass) = (about.inspection, about.pass);
        let work = Work {
            device: device.clone(),
            about,
            misdeed,
            // Where in the pass it happens.
            at: client.rng.random_range(1..6),
            outbox,
        };
        let task = self.tasks.spawn(work.run());
        self.now = Some((inspection, pass, task));
    }

    /// Enough is known, or the pass broke off.
    pub(super) fn stop(&mut self, inspection: InspectionNo, outbox: &Outbox) {
        if let Some((inspection, pass, task)) = self.now.take_if(|now| now.0 == inspection) {
            task.abort();
            let outbox = outbox.clone();
            self.tasks.spawn(async move {
                say(&outbox, FromDevice::PassEnded { inspection, pass }).await;
            });
        }
    }
}

/// One pass of one sensor.
struct Work {
    device: Arc<Device>,
    about: About,
    misdeed: Option<Misdeed>,
    at: u32,
    outbox: Outbox,
}

impl Work {
    async fn run(self) {
        let shared = self.device.shared.clone();
        if self.misdeed == Some(Misdeed::Silence) {
            self.put_down(0);
            return;
        }
        if self.misdeed == Some(Misdeed::Late) {
            self.put_down(0);
            self.end().await;
        }
        let begun = Instant::now();
        let time = shared.time().await;
        if let Some(visit) = shared.plan.visit(&self.about.equipment) {
            for (number, (sample, content)) in (1..).zip(shared.source.readings(self.about.modality, visit)) {
                let due = begun + time.real_wait(ReadingSource::captured_after_ms(sample));
                tokio::time::sleep_until(due).await;
                // Scale and camera have one reading only: whatever goes wrong there goes wrong with that.
                let here = number == self.at || !matches!(self.about.modality, Modality::Radiation);
                if !self.read(sample, content, here, number == 1).await {
                    return;
                }
            }
        }
        self.end().await;
    }

    /// One reading; false when nobody listens any more.
    async fn read(&self, sample: SampleNo, content: ReadingContent, here: bool, first: bool) -> bool {
        let misdeed = self.misdeed.filter(|_| here);
        let device = &self.device;
        let now = device.shared.time().await.now();
        let (boot, sequence) = {
            let mut memory = device.memory();
            if misdeed == Some(Misdeed::Gap) {
                memory.sequence += 3;
            }
            memory.sequence += 1;
            (memory.boot, memory.sequence)
        };
        let background = matches!(content, ReadingContent::RadiationBackground(_));
        let captured_at = match misdeed {
            Some(Misdeed::WrongClock) => Timestamp(now.0.saturating_sub(OFF_MS)),
            _ => now,
        };
        let reading = Reading {
            header: ReadingHeader {
                device: device.id.clone(),
                boot: match misdeed {
                    Some(Misdeed::OldBoot) => boot.saturating_sub(1),
                    _ => boot,
                },
                sequence,
                captured_at,
                inspection: (!background).then_some(self.about.inspection),
                equipment: (!background).then(|| self.about.equipment.clone()),
                sample: if background { SampleNo(0) } else { sample },
            },
            content,
        };
        let mut signed = sign(&device.key, &reading);
        let mut times = 1;
        match misdeed {
            Some(Misdeed::Forge) => {
                if let Some(first) = signed.signature.first_mut() {
                    *first ^= 0x40;
                }
                self.put_down(sequence);
            }
            // Before the first reading of a pass nothing is missing.
            Some(Misdeed::Gap) if !first => self.put_down(sequence - 1),
            Some(Misdeed::Replay) => {
                self.put_down(sequence);
                let old = device.memory().past.front().cloned();
                if let Some(old) = old
                    && !say(&self.outbox, FromDevice::Reading(old)).await
                {
                    return false;
                }
            }
            Some(Misdeed::Duplicate) => {
                self.put_down(sequence);
                times = 2;
            }
            Some(Misdeed::Flood) => {
                self.put_down(sequence);
                times = FLOOD;
            }
            Some(Misdeed::WrongClock | Misdeed::OldBoot) => self.put_down(sequence),
            _ => {}
        }
        self.keep(&signed);
        for _ in 0..times {
            if !say(&self.outbox, FromDevice::Reading(signed.clone())).await {
                return false;
            }
        }
        true
    }

    fn keep(&self, signed: &SignedReading) {
        let past = &mut self.device.memory().past;
        past.push_back(signed.clone());
        if past.len() > KEPT {
            past.pop_front();
        }
    }

    fn put_down(&self, sequence: u64) {
        let Some(misdeed) = self.misdeed else { return };
        let boot = self.device.memory().boot;
        let pass = (self.about.inspection, self.about.pass);
        let recorder = &self.device.shared.recorder;
        recorder.wrong(&self.device.id, pass, misdeed, (boot, sequence));
    }

    async fn end(&self) {
        let ended = FromDevice::PassEnded {
            inspection: self.about.inspection,
            pass: self.about.pass,
        };
        say(&self.outbox, ended).await;
    }
}
