//! Gross gamma and neutron counts of a portal to weights for nuclear material, sample by sample.
//!
//! # What is compared
//! Either nuclear material out of control is in the container, or it is not. Both hypotheses know that
//! - the vehicle shadows the background it stands in, by an unknown share up to about 30 % (PNNL-14363), and weather
//!   lifts it by a few percent: a multiplier over the expected background, different in each window;
//! - the container may hold something else that radiates: about 4 % of boxes alarm a portal, nearly all from natural
//!   radioactivity in the goods, at up to about twice the background; and rarely a legal or forgotten source (medicine,
//!   gauges, contaminated scrap) of any strength;
//! - neutrons are few and overdispersed: cosmic rays make more of them in heavy cargo ("ship effect"; Kouzes et al.,
//!   Nucl. Instrum. Methods A 587 (2008) 89).
//!
//! Nuclear material may also be too well shielded to be seen at all. Its strength, if seen, is log-uniform.
//!
//! # How
//! When the source passes is unknown. So the likelihood ratio of every window of 1, 4 and 16 samples is *averaged* over
//! all windows, and not the largest taken: its expectation without a source stays 1 however long the pass lasts, and a
//! longer pass buys no evidence. Windows that the pass has not reached yet count as 1.
//!
//! # What limits the weight
//! Gross gamma counts cannot tell nuclear material from natural radioactivity (gross counts of shielded uranium lie
//! between those of shielded and bare potassium), so gamma alone never weighs more than [`GAMMA_CAP`]. Harmless neutron
//! sources are rare, so neutrons may weigh more. Seeing nothing weighs little, because shielding is easy. Gross counts
//! never claim that something was shielded: a low count may be heavy, honest cargo.

mod background;
mod portal;
mod scan;
pub mod spectral;

use portcullis_domain::evidence::{Ability, ThreatFamily, Weights};
use portcullis_domain::finding::{Finding, FindingCode};
use portcullis_domain::reading::{RadiationKind, RadiationSample};

pub use background::{Background, Origin, Rate};
pub use portal::PortalInterpreter;

use crate::interpretation::{WEIGHT_CAP, milli_decibans};
use scan::{Hypotheses, Scan};

/// Name and version of this interpreter.
pub const VERSION: &str = "radiation-gross/1";

/// The most that gross gamma counts weigh for nuclear material, milli-decibans.
pub const GAMMA_CAP: i32 = 15_000;

/// How many samples a pass is taken to have if nobody says: 16 s at 4 Hz.
pub const PLANNED_SAMPLES: usize = 64;

/// With less than this share of the time live, counts are too distorted to call the view clear.
const LIVE_SHARE_CLEAR: f64 = 0.5;
/// How many samples the background may be looked for in, when none was measured.
const SEARCH_SAMPLES: usize = 240;
/// Evidence of the counts alone, as a natural log, at which an alarm is noted: 1,000 to 1.
const ALARM: f64 = 6.9;

/// Counts of all detectors of one kind in one sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Counted {
    counts: u64,
    /// Time in which a detector could count, mean over the detectors, microseconds.
    live_us: u64,
    /// Length of the interval, microseconds.
    real_us: u64,
    detectors: u16,
}

/// What both kinds of detectors counted in one sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct SampleCounts {
    gamma: Option<Counted>,
    neutron: Option<Counted>,
}

/// What is known after a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Weight of everything so far, milli-decibans.
    pub weights: Weights,
    /// How well the portal could see. Shielded as long as the vehicle is passing: what has not been before the portal yet
    /// was not seen, however clear the rest is.
    pub ability: Ability,
}

/// Interprets a pass while it happens.
#[derive(Debug, Clone)]
pub struct RadiationInterpreter {
    planned: usize,
    /// The samples, as long as a background has to be looked for in them.
    unmeasured: Option<Vec<SampleCounts>>,
    background: Option<Background>,
    view: View,
    /// The vehicle is through.
    passed: bool,
}

/// Everything that follows from the samples and one background.
#[derive(Debug, Clone)]
struct View {
    gamma: Option<Scan>,
    neutron: Option<Scan>,
    samples: usize,
    gamma_seen: bool,
    neutron_seen: bool,
    live_share_min: f64,
    detectors_differ: Option<(u16, u16)>,
}

impl Counted {
    /// What the detectors of one kind counted; none if there is no such detector.
    fn of(sample: &RadiationSample, kind: RadiationKind) -> Option<Self> {
        let of_kind = || sample.detectors.iter().filter(|detector| detector.kind == kind);
        let detectors = u16::try_from(of_kind().count()).unwrap_or(u16::MAX);
        if detectors == 0 {
            return None;
        }
        let live = of_kind()
            .map(|detector| detector.live_time_us)
            .fold(0, u64::saturating_add);
        Some(Self {
            counts: of_kind().map(|detector| detector.counts).fold(0, u64::saturating_add),
            live_us: live / u64::from(detectors),
            real_us: sample.real_time_us,
            detectors,
        })
    }
}

impl SampleCounts {
    fn of(sample: &RadiationSample) -> Self {
        Self {
            gamma: Counted::of(sample, RadiationKind::Gamma),
            neutron: Counted::of(sample, RadiationKind::Neutron),
        }
    }
}

impl RadiationInterpreter {
    /// Starts a pass. Without a background it is looked for in the quiet ends of the pass, which costs certainty and is
    /// a finding. `planned` is how many samples the pass is expected to have; more may come.
    pub fn new(background: Option<Background>, planned: usize) -> Self {
        Self {
            planned,
            unmeasured: background.is_none().then(Vec::new),
            view: View::new(background.as_ref(), planned),
            background,
            passed: false,
        }
    }

    /// The vehicle is through: what is known now is about all of it.
    pub fn finish(&mut self) -> Progress {
        self.passed = true;
        self.progress()
    }

    /// Takes the next sample and says what everything so far weighs.
    pub fn push(&mut self, sample: &RadiationSample) -> Progress {
        let counted = SampleCounts::of(sample);
        if let Some(samples) = self
            .unmeasured
            .as_mut()
            .filter(|samples| samples.len() < SEARCH_SAMPLES)
        {
            samples.push(counted);
            let background = Background::from_quiet_counts(samples);
            // As long as the beginning is the quieter end, what was made of the samples so far holds.
            if background != self.background {
                self.view = View::new(background.as_ref(), self.planned);
                let (_, before) = samples.split_last().unwrap_or((&counted, &[]));
                for sample in before {
                    self.view.push(sample, background.as_ref());
                }
                self.background = background;
            }
        }
        self.view.push(&counted, self.background.as_ref());
        self.progress()
    }

    /// What everything so far weighs.
    pub fn progress(&self) -> Progress {
        let view = &self.view;
        let weight = view
            .gamma
            .as_ref()
            .map_or(0, |scan| milli_decibans(scan.log_ratio(), -WEIGHT_CAP, GAMMA_CAP))
            .saturating_add(
                view.neutron
                    .as_ref()
                    .map_or(0, |scan| milli_decibans(scan.log_ratio(), -WEIGHT_CAP, WEIGHT_CAP)),
            )
            .clamp(-WEIGHT_CAP, WEIGHT_CAP);
        let clear = view.live_share_min >= LIVE_SHARE_CLEAR
            && self.background.is_some()
            && view.gamma.is_some() == view.gamma_seen
            && view.neutron.is_some() == view.neutron_seen
            && view.gamma_seen;
        Progress {
            weights: Weights::ZERO.with(ThreatFamily::Nuclear, weight),
            ability: match (self.passed, clear) {
                (false, _) => Ability::Shielded,
                (true, true) => Ability::Clear,
                (true, false) => Ability::Degraded,
            },
        }
    }

    /// The background in use.
    pub fn background(&self) -> Option<&Background> {
        self.background.as_ref()
    }

    /// What casts doubt on the weights, or explains them.
    pub fn findings(&self) -> Vec<Finding> {
        let view = &self.view;
        let mut findings = Vec::new();
        let mut note = |code, field: &str, detail: String| {
            findings.push(Finding::new(code, field, detail));
        };
        match &self.background {
            None => note(
                FindingCode::BackgroundMissing,
                "background",
                "no background was measured and the pass has no quiet end to take one from".to_owned(),
            ),
            Some(Background {
                origin: Origin::Pass,
                gamma,
                ..
            }) => note(
                FindingCode::BackgroundFromPass,
                "background",
                format!(
                    "taken from the quieter end of the pass: {:.0} gamma counts/s",
                    gamma.map_or(0.0, |rate| rate.cps)
                ),
            ),
            Some(_) => {}
        }
        if view.samples > 0 && !view.neutron_seen {
            note(
                FindingCode::NeutronsAbsent,
                "neutron",
                "no neutron counts came".to_owned(),
            );
        }
        if view.neutron_seen && view.neutron.is_none() && self.background.is_some() {
            let detail = "neutrons were counted and their background is not known".to_owned();
            note(FindingCode::BackgroundMissing, "neutron", detail);
        }
        if view.samples > 0 && !view.gamma_seen {
            note(FindingCode::DetectorSilent, "gamma", "no gamma counts came".to_owned());
        }
        if let Some((found, wanted)) = view.detectors_differ {
            note(
                FindingCode::DetectorSilent,
                "detectors",
                format!("{found} detectors counted; the background is of {wanted} and was scaled"),
            );
        }
        if view.live_share_min < 0.9 {
            note(
                FindingCode::DeadTimeHigh,
                "live_time",
                format!("live for {:.0} % of a sample", view.live_share_min * 100.0),
            );
        }
        if let Some(scan) = &view.gamma {
            if scan.evidence() > ALARM {
                note(FindingCode::GammaAlarm, "gamma", scan.highest());
            }
            if let Some(share) = scan.suppression() {
                note(
                    FindingCode::BackgroundSuppressed,
                    "gamma",
                    format!("counts fell to {:.0} % of the background", share * 100.0),
                );
            }
        }
        if let Some(scan) = view.neutron.as_ref().filter(|scan| scan.evidence() > ALARM) {
            note(FindingCode::NeutronAlarm, "neutron", scan.highest());
        }
        findings
    }
}

impl View {
    fn new(background: Option<&Background>, planned: usize) -> Self {
        let gamma = background.and_then(|background| background.gamma);
        let neutron = background.and_then(|background| background.neutron);
        Self {
            gamma: gamma.map(|rate| Scan::new(Hypotheses::gamma(), rate, planned)),
            neutron: neutron.map(|rate| Scan::new(Hypotheses::neutron(rate.cps), rate, planned)),
            samples: 0,
            gamma_seen: false,
            neutron_seen: false,
            live_share_min: 1.0,
            detectors_differ: None,
        }
    }

    fn push(&mut self, sample: &SampleCounts, background: Option<&Background>) {
        self.samples += 1;
        let SampleCounts { gamma, neutron } = *sample;
        self.gamma_seen |= gamma.is_some();
        self.neutron_seen |= neutron.is_some();
        let rates = (
            background.and_then(|background| background.gamma),
            background.and_then(|background| background.neutron),
        );
        for (counted, rate, scan) in [(gamma, rates.0, &mut self.gamma), (neutron, rates.1, &mut self.neutron)] {
            let Some(counted) = counted else { continue };
            let share = counted.live_us as f64 / counted.real_us.max(1) as f64;
            self.live_share_min = self.live_share_min.min(share);
            if let Some(rate) = rate.filter(|rate| rate.detectors != counted.detectors) {
                self.detectors_differ = Some((counted.detectors, rate.detectors));
            }
            if let Some(scan) = scan {
                scan.push(&counted);
            }
        }
    }
}

#[cfg(test)]
mod tests;
