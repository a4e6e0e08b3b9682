//! Drift: whether what detectors and containers do is still what the policy was learned from. Needs no truth.
//!
//! Each thing that is watched has a chart, Page's test: a sum of log-likelihood ratios of "shifted by what matters"
//! against "as learned", never below 0, that alarms when it reaches the policy's limit. With x the deviation of a piece of
//! evidence from the mean in standard deviations and s the shift that matters, the step is s x - ln E\[e^(s x)\]: the
//! ratio of the exponentially tilted distribution to the learned one, whatever its shape. So the mean number of containers
//! between false alarms is at least e^limit for independent containers (Page, Biometrika 41, 1954; Lorden, Annals of Mathematical Statistics 42, 1971), and no test
//! with that rate has a smaller worst-case delay to first order.
//!
//! Everything is an integer in micro-nats, rounded down, so that all who repeat it get the same sums. The ledger keeps
//! the charts of a running cluster; an evaluation uses the same ones.

use std::fmt;
use std::str::FromStr;

use imbl::OrdMap;

use crate::codec::canonical;
use crate::evidence::{Ability, Evidence, Modality, ThreatFamily, Weights};
use crate::fusion::{Reason, Verdict};
use crate::id::{DeviceId, EntryNo, InspectionNo, InvalidId, LaneId, Timestamp};
use crate::policy::{Share, Tier, Watch, WeightReference};

/// What a chart watches.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChartKey {
    /// What the evidence of one device weighs.
    Device(DeviceId),
    /// What the declarations weigh, in the whole port.
    Declarations,
    /// How many containers go one way, in the whole port.
    Share(Share),
}

canonical!(enum ChartKey { 1 => Device(device), 2 => Declarations, 3 => Share(share) });

const DEVICE: &str = "device:";
const DECLARATIONS: &str = "declarations";
const SHARE: &str = "share:";

impl fmt::Display for ChartKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(device) => write!(f, "{DEVICE}{device}"),
            Self::Declarations => f.write_str(DECLARATIONS),
            Self::Share(share) => write!(f, "{SHARE}{share}"),
        }
    }
}

impl FromStr for ChartKey {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        if text == DECLARATIONS {
            return Ok(Self::Declarations);
        }
        if let Some(device) = text.strip_prefix(DEVICE) {
            return DeviceId::new(device).map(Self::Device);
        }
        match text.strip_prefix(SHARE) {
            Some(share) => share.parse().map(Self::Share),
            None => Err(InvalidId::new(
                "chart",
                text,
                "expected device:<id>, declarations, share:held, share:examined, share:unseen or share:hiding",
            )),
        }
    }
}

/// Which way something went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trend {
    /// Up: containers look more dangerous than was learned, or there are more of them.
    Rises,
    /// Down: containers look more innocent than was learned.
    Falls,
}

canonical!(enum Trend { 1 => Rises, 2 => Falls });

impl Trend {
    /// The word in API and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rises => "rises",
            Self::Falls => "falls",
        }
    }
}

impl fmt::Display for Trend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One of Page's sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sum {
    /// How much speaks for a shift, micro-nats, from 0 to somewhat above the limit.
    pub nats: u64,
    /// Containers since it was 0: if something has changed, most likely that many ago.
    pub run: u64,
    /// When the first of them was concluded.
    pub since: Timestamp,
}

canonical!(struct Sum { nats, run, since });

impl Sum {
    fn add(&mut self, step: i64, at: Timestamp) {
        if self.run == 0 {
            self.since = at;
        }
        self.nats = self.nats.saturating_add_signed(step);
        self.run = if self.nats == 0 { 0 } else { self.run + 1 };
    }
}

/// The sums about one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chart {
    /// The lane of a device.
    pub lane: Option<LaneId>,
    /// How a device sees.
    pub modality: Option<Modality>,
    /// Containers that it has counted since it began.
    pub seen: u64,
    /// What speaks for a rise.
    pub rises: Sum,
    /// What speaks for a fall; stays 0 for shares.
    pub falls: Sum,
}

canonical!(struct Chart { lane, modality, seen, rises, falls });

/// A chart reached its limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alarm {
    /// Which chart.
    pub chart: ChartKey,
    /// Which way it went.
    pub trend: Trend,
    /// The lane of a device.
    pub lane: Option<LaneId>,
    /// How a device sees.
    pub modality: Option<Modality>,
    /// Containers that the chart had counted.
    pub after: u64,
    /// Of those, the ones since the sum was 0: the change began about there.
    pub run: u64,
    /// When the first of those was concluded.
    pub since: Timestamp,
    /// The inspection whose conclusion raised it.
    pub inspection: InspectionNo,
}

canonical!(struct Alarm { chart, trend, lane, modality, after, run, since, inspection });

/// An alarm that nobody has dealt with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The alarm.
    pub alarm: Alarm,
    /// Its log entry.
    pub entry: EntryNo,
    /// Log time.
    pub at: Timestamp,
}

canonical!(struct Standing { alarm, entry, at });

/// A conclusion, as the charts take it in.
#[derive(Debug, Clone, Copy)]
pub struct Observed<'a> {
    /// The inspection.
    pub inspection: InspectionNo,
    /// Where its pass was, if it had one.
    pub lane: Option<LaneId>,
    /// When it is concluded.
    pub at: Timestamp,
    /// The evidence set.
    pub evidence: &'a [&'a Evidence],
    /// The verdict on it.
    pub verdict: &'a Verdict,
}

/// All charts, and the alarms that stand. Cloning is O(1).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Charts {
    charts: OrdMap<ChartKey, Chart>,
    standing: OrdMap<ChartKey, Standing>,
}

canonical!(struct Charts { charts, standing });

impl Charts {
    /// Takes in a conclusion. Returns the alarms it raises, in the order of their charts; until [`Self::stand`] is told
    /// of one, each further conclusion raises it again. A chart whose alarm stands counts nothing, and a conclusion that
    /// rests on a device which is adrift counts for no share.
    pub fn observe(&mut self, watch: &Watch, observed: &Observed<'_>) -> Vec<Alarm> {
        let mut alarms = Vec::new();
        for evidence in observed.evidence {
            let (Some(reference), Some(sum)) = (watch.weight(evidence.modality), weight(evidence, observed.verdict))
            else {
                continue;
            };
            let [rise, fall] = steps(watch, reference, sum);
            let (key, lane, modality) = match &evidence.readings {
                Some(range) => (
                    ChartKey::Device(range.device.clone()),
                    observed.lane,
                    Some(evidence.modality),
                ),
                None => (ChartKey::Declarations, None, None),
            };
            alarms.extend(self.count(watch, observed, key, (lane, modality), (rise, Some(fall))));
        }
        // A verdict on what a device says that is adrift tells of the device, not of the port.
        let misled = observed.verdict.reasons.iter().any(|reason| {
            let Reason::Drifting { chart, .. } = reason else {
                return false;
            };
            matches!(chart, ChartKey::Device(_))
        });
        for reference in watch.shares.iter().filter(|_| !misled) {
            let step = match reference.share.counts(observed.evidence, observed.verdict) {
                true => i64::from(reference.hit),
                false => -i64::from(reference.toll),
            };
            let key = ChartKey::Share(reference.share);
            alarms.extend(self.count(watch, observed, key, (None, None), (step, None)));
        }
        alarms.sort_by(|a, b| a.chart.cmp(&b.chart));
        alarms
    }

    fn count(
        &mut self,
        watch: &Watch,
        observed: &Observed<'_>,
        key: ChartKey,
        (lane, modality): (Option<LaneId>, Option<Modality>),
        (rise, fall): (i64, Option<i64>),
    ) -> Option<Alarm> {
        if self.standing.contains_key(&key) {
            return None;
        }
        let chart = self.charts.entry(key.clone()).or_insert_with(|| Chart {
            lane,
            modality,
            seen: 0,
            rises: Sum::default(),
            falls: Sum::default(),
        });
        // A device may have moved to another lane.
        chart.lane = lane;
        chart.seen += 1;
        chart.rises.add(rise, observed.at);
        if let Some(fall) = fall {
            chart.falls.add(fall, observed.at);
        }
        let (trend, sum) = [(Trend::Rises, chart.rises), (Trend::Falls, chart.falls)]
            .into_iter()
            .find(|(_, sum)| sum.nats >= u64::from(watch.limit))?;
        Some(Alarm {
            chart: key,
            trend,
            lane,
            modality,
            after: chart.seen,
            run: sum.run,
            since: sum.since,
            inspection: observed.inspection,
        })
    }

    /// An alarm stands from now on.
    pub fn stand(&mut self, alarm: Alarm, entry: EntryNo, at: Timestamp) {
        self.standing.insert(alarm.chart.clone(), Standing { alarm, entry, at });
    }

    /// A chart begins anew, and its alarm no longer stands.
    pub fn reset(&mut self, key: &ChartKey) {
        self.charts.remove(key);
        self.standing.remove(key);
    }

    /// All charts begin anew, and no alarm stands.
    pub fn reset_all(&mut self) {
        *self = Self::default();
    }

    /// Forgets the charts of devices for which this is false.
    pub fn keep_devices(&mut self, mut keep: impl FnMut(&DeviceId) -> bool) {
        let gone: Vec<ChartKey> = self
            .charts
            .keys()
            .filter(|key| matches!(key, ChartKey::Device(device) if !keep(device)))
            .cloned()
            .collect();
        for key in gone {
            self.reset(&key);
        }
    }

    /// What is adrift: every chart whose alarm stands, in order.
    pub fn adrift(&self) -> Vec<ChartKey> {
        self.standing.keys().cloned().collect()
    }

    /// The alarm of a chart, if it stands.
    pub fn standing(&self, key: &ChartKey) -> Option<&Standing> {
        self.standing.get(key)
    }

    /// A chart; none if nothing was counted since it began.
    pub fn get(&self, key: &ChartKey) -> Option<&Chart> {
        self.charts.get(key)
    }

    /// All charts that have counted something, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&ChartKey, &Chart)> {
        self.charts.iter()
    }
}

impl Watch {
    /// The least tier of a conclusion that is touched by this chart's alarm.
    pub fn tier(&self, chart: &ChartKey) -> Tier {
        match chart {
            ChartKey::Device(_) => self.device_tier,
            ChartKey::Declarations | ChartKey::Share(_) => self.port_tier,
        }
    }
}

impl Share {
    /// Whether a container with this verdict on this evidence is counted. What drift itself added to the verdict does not
    /// count: else one alarm would bring about the next.
    pub fn counts(self, evidence: &[&Evidence], verdict: &Verdict) -> bool {
        let tier = verdict
            .reasons
            .iter()
            .filter(|reason| !matches!(reason, Reason::Drifting { .. }))
            .map(Reason::tier)
            .max()
            .unwrap_or(Tier::Release);
        match self {
            Self::Held => tier != Tier::Release && !verdict.unseen(),
            Self::Examined => tier == Tier::Exam,
            Self::Unseen => verdict.unseen(),
            Self::Hiding => verdict.unseen() && speaks_for_a_threat(evidence, verdict),
        }
    }
}

/// Whether the weights of what had seen something by the sample that was judged add up to more than nothing for some family.
fn speaks_for_a_threat(evidence: &[&Evidence], verdict: &Verdict) -> bool {
    ThreatFamily::ALL.into_iter().any(|family| {
        let seen = evidence.iter().filter_map(|evidence| seen(evidence, verdict));
        seen.map(|weights| i64::from(weights.of(family))).sum::<i64>() > 0
    })
}

/// What a piece of evidence weighs for the charts, milli-decibans: the sum of its weights for all families at the sample
/// that was judged. None if it had not spoken by then or could not see: that is no weight, and has a share of its own.
pub fn weight(evidence: &Evidence, verdict: &Verdict) -> Option<i32> {
    let weights = seen(evidence, verdict)?;
    Some(weights.0.iter().fold(0_i32, |sum, weight| sum.saturating_add(*weight)))
}

/// What a piece of evidence weighed at the sample that was judged, if it had spoken by then and could see.
fn seen(evidence: &Evidence, verdict: &Verdict) -> Option<Weights> {
    let step = evidence.at(verdict.at_sample)?;
    (step.ability != Ability::Shielded).then_some(step.weights)
}

/// What one container adds to the sums for a rise and for a fall, micro-nats.
fn steps(watch: &Watch, reference: &WeightReference, sum: i32) -> [i64; 2] {
    let counted = i64::from(sum.clamp(reference.low, reference.high));
    let above = (counted - i64::from(reference.mean)) * i64::from(watch.shift_permille) * 1000;
    let deviation = i64::from(reference.deviation.max(1));
    [
        above.div_euclid(deviation) - i64::from(reference.rise_toll),
        (-above).div_euclid(deviation) - i64::from(reference.fall_toll),
    ]
}

#[cfg(test)]
mod tests;
