//! Puts measurements together to samples: one interval, all detectors.

use std::collections::{BTreeMap, BTreeSet};

use portcullis_domain::finding::FindingCode;

use super::counts::{self, BadCounts};
use super::notes::Notes;
use super::packed::{PackedCounts, PackedSpectrum};
use super::{
    CHANNELS_MAX, DETECTORS_MAX, DetectorInfo, DetectorKind, DetectorSample, N42Error, RECORD_CHANNELS_MAX,
    SAMPLES_MAX, Sample, SampleClass, Spectra, place,
};
use crate::xml::Element;

/// What identifies the interval of a measurement in its document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    /// A sample number of the document.
    Number(u32),
    /// The position of the element that holds everything of one interval.
    Position(usize),
}

/// What is known about an interval as a whole.
#[derive(Debug, Clone, Copy)]
pub(super) struct Interval {
    pub(super) key: Key,
    pub(super) class: SampleClass,
    pub(super) start_ms: Option<i64>,
    pub(super) real_time_us: Option<u64>,
    pub(super) occupied: Option<bool>,
}

/// Samples and detectors of a document while it is read.
pub(super) struct Samples {
    spectra: Spectra,
    samples: Vec<Sample>,
    index: BTreeMap<(Key, SampleClass), usize>,
    detectors: Vec<DetectorInfo>,
    /// Position in `detectors`, by name.
    names: BTreeMap<String, usize>,
    declared: BTreeSet<String>,
    heard: BTreeSet<String>,
    channels_left: usize,
    channels_of: BTreeMap<String, usize>,
    /// The counts of the spectrum that was read last; kept for its room.
    words: Vec<u32>,
}

impl Samples {
    pub(super) fn new(spectra: Spectra) -> Self {
        Self {
            spectra,
            samples: Vec::new(),
            index: BTreeMap::new(),
            detectors: Vec::new(),
            names: BTreeMap::new(),
            declared: BTreeSet::new(),
            heard: BTreeSet::new(),
            channels_left: RECORD_CHANNELS_MAX,
            channels_of: BTreeMap::new(),
            words: Vec::new(),
        }
    }

    /// A detector that the document declares.
    pub(super) fn declare(&mut self, element: &Element<'_>, detector: DetectorInfo) -> Result<(), N42Error> {
        self.declared.insert(detector.name.clone());
        self.know(element, detector)
    }

    fn know(&mut self, element: &Element<'_>, detector: DetectorInfo) -> Result<(), N42Error> {
        let known = self.names.get(&detector.name).copied();
        if let Some(known) = known.and_then(|at| self.detectors.get_mut(at)) {
            // Status lists of 2006 name detectors without saying what they count: their data does.
            if known.kind == DetectorKind::Other {
                known.kind = detector.kind;
            }
            known.description = known.description.take().or(detector.description);
            return Ok(());
        }
        if self.detectors.len() >= DETECTORS_MAX {
            let place = place(element, "");
            return Err(N42Error::Limit {
                what: "detectors",
                limit: DETECTORS_MAX,
                place,
            });
        }
        self.names.insert(detector.name.clone(), self.detectors.len());
        self.detectors.push(detector);
        Ok(())
    }

    /// What a declared detector counts.
    pub(super) fn kind_of(&self, detector: &str) -> Option<DetectorKind> {
        let info = self.detectors.get(*self.names.get(detector)?)?;
        (info.kind != DetectorKind::Other).then_some(info.kind)
    }

    /// Reads the counts of a spectrum.
    pub(super) fn spectrum(
        &mut self,
        data: &Element<'_>,
        counted_zeros: bool,
        calibration_kev: Vec<f64>,
        detector: &str,
        notes: &mut Notes,
    ) -> Result<(u64, Option<PackedSpectrum>), N42Error> {
        let keep = self.spectra == Spectra::Keep;
        let limit = CHANNELS_MAX.min(self.channels_left);
        self.words.clear();
        let words = keep.then_some(&mut self.words);
        let read = counts::channels(&data.text, counted_zeros, words, limit).map_err(|bad| {
            let place = place(data, "Spectrum");
            match bad {
                BadCounts::Value(why) => N42Error::Value {
                    element: data.name.to_owned(),
                    place,
                    why,
                },
                BadCounts::TooMany if limit == CHANNELS_MAX => N42Error::Limit {
                    what: "channels of one spectrum",
                    limit,
                    place,
                },
                BadCounts::TooMany => N42Error::Limit {
                    what: "channels of one record",
                    limit: RECORD_CHANNELS_MAX,
                    place,
                },
            }
        })?;
        self.channels_left -= read.len;
        if read.fractional {
            notes.add(FindingCode::CountsFractional, "ChannelData", || {
                format!("detector {detector:?} has counts that are not whole; they were rounded")
            });
        }
        let before = *self.channels_of.entry(detector.to_owned()).or_insert(read.len);
        if before != read.len {
            notes.add(FindingCode::ChannelsDiffer, "ChannelData", || {
                format!("detector {detector:?} has {before} channels and then {}", read.len)
            });
        }
        let spectrum = keep.then(|| PackedSpectrum {
            calibration_kev,
            counts: PackedCounts::new(&self.words, counted_zeros, read.len),
        });
        Ok((read.total, spectrum))
    }

    /// Adds one detector's share of an interval.
    pub(super) fn add(
        &mut self,
        element: &Element<'_>,
        interval: Interval,
        share: DetectorSample,
        description: Option<String>,
        notes: &mut Notes,
    ) -> Result<(), N42Error> {
        check_times(interval, &share, notes);
        self.heard.insert(share.detector.clone());
        self.know(
            element,
            DetectorInfo {
                name: share.detector.clone(),
                kind: share.kind,
                description,
            },
        )?;
        let known = self.index.get(&(interval.key, interval.class)).copied();
        let open = known.and_then(|at| self.samples.get_mut(at));
        let twice = open.as_ref().is_some_and(|sample| {
            sample
                .detectors
                .iter()
                .any(|other| other.detector == share.detector && other.kind == share.kind)
        });
        if twice {
            let detector = &share.detector;
            notes.add(FindingCode::SampleGap, "SampleNumber", || {
                format!("detector {detector:?} sent one sample number twice; both were kept")
            });
        }
        match open {
            Some(sample) if !twice => sample.detectors.push(share),
            _ => {
                if self.samples.len() >= SAMPLES_MAX {
                    let place = place(element, "");
                    return Err(N42Error::Limit {
                        what: "samples",
                        limit: SAMPLES_MAX,
                        place,
                    });
                }
                let at = self.samples.len();
                self.index.insert((interval.key, interval.class), at);
                let number = match interval.key {
                    Key::Number(number) => number,
                    Key::Position(_) => u32::try_from(at + 1).unwrap_or(u32::MAX),
                };
                self.samples.push(Sample {
                    number,
                    class: interval.class,
                    start_ms: interval.start_ms,
                    real_time_us: interval.real_time_us,
                    occupied: interval.occupied,
                    detectors: vec![share],
                });
            }
        }
        Ok(())
    }

    /// Ends the reading: findings that only the whole document shows.
    pub(super) fn finish(self, notes: &mut Notes) -> (Vec<DetectorInfo>, Vec<Sample>) {
        for name in self.declared.difference(&self.heard) {
            notes.add(FindingCode::DetectorSilent, "Detector", || {
                format!("detector {name:?} is declared and sent nothing")
            });
        }
        if !self.declared.is_empty() {
            for name in self.heard.difference(&self.declared) {
                notes.add(FindingCode::DetectorUndeclared, "Detector", || {
                    format!("detector {name:?} sent data and is not declared")
                });
            }
        }
        let shares = || self.samples.iter().flat_map(|sample| &sample.detectors);
        if !shares().any(|share| share.kind == DetectorKind::Neutron) {
            notes.add(FindingCode::NeutronsAbsent, "Detector", || {
                "no neutron detector sent data".to_owned()
            });
        }
        let flags: BTreeSet<bool> = self.samples.iter().filter_map(|sample| sample.occupied).collect();
        if flags.len() == 1 {
            notes.add(FindingCode::OccupancyUnusable, "Occupied", || {
                "it has one value in every sample, so it cannot tell background from vehicle".to_owned()
            });
        }
        let disorder = self
            .samples
            .windows(2)
            .filter(|pair| pair[0].class == pair[1].class)
            .find(|pair| pair[0].number.checked_add(1) != Some(pair[1].number));
        if let Some(pair) = disorder {
            notes.add(FindingCode::SampleGap, "SampleNumber", || {
                format!("sample {} follows sample {}", pair[1].number, pair[0].number)
            });
        }
        (self.detectors, self.samples)
    }
}

fn check_times(interval: Interval, share: &DetectorSample, notes: &mut Notes) {
    let detector = &share.detector;
    let real = share.real_time_us.or(interval.real_time_us);
    match (share.live_time_us, real) {
        (None, _) => notes.add(FindingCode::LiveTimeMissing, "LiveTime", || {
            format!("detector {detector:?} gives no live time; rates fall back to real time")
        }),
        (Some(0), _) => notes.add(FindingCode::LiveTimeMissing, "LiveTime", || {
            format!("detector {detector:?} gives a live time of zero: it was dead throughout")
        }),
        (Some(live), Some(real)) if live > real => {
            notes.add(FindingCode::LiveTimeImpossible, "LiveTime", || {
                format!("detector {detector:?} was live {live} us of {real} us")
            });
        }
        (Some(live), Some(real)) if live < real - real / 10 => {
            notes.add(FindingCode::DeadTimeHigh, "LiveTime", || {
                format!("detector {detector:?} was live {live} us of {real} us")
            });
        }
        _ => {}
    }
}
