//! Whether the containers are still those that the policy was calibrated for, by the very charts that the ledger keeps of
//! a running cluster. One device of each modality stands for all.

use portcullis_domain::drift::{Alarm, ChartKey, Charts};
use portcullis_domain::evidence::Evidence;
use portcullis_domain::policy::{Policy, Watch};
use serde::Serialize;

use super::fusion::labelled;
use crate::policy::{false_alarm_every, judge, observed};
use crate::world::World;

/// Whether and when drift was noticed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Drift {
    /// Containers after which the first chart alarmed, if any did.
    pub alarm_after: Option<u64>,
    /// Which chart, and which way it went: `radiography falls`, `declarations rises`, `examined rises`.
    pub alarm_by: Option<String>,
    /// Containers that were watched at most; 0 if the policy watches nothing.
    pub watched: u64,
    /// Stated: one false alarm in so many containers at most, on average.
    pub false_alarm_every: u64,
    /// Counted: false alarms in as many further containers of the world that the policy was calibrated in.
    pub false_alarms: u64,
}

/// Watches a world's containers as they come; false alarms are counted in the world `still`.
pub(super) fn watch(world: &World, still: &World, policy: &Policy, containers: u64, seed: u64) -> Drift {
    let Some(expected) = &policy.watch else {
        return Drift {
            alarm_after: None,
            alarm_by: None,
            watched: 0,
            false_alarm_every: 0,
            false_alarms: 0,
        };
    };
    let mut charts = Charts::default();
    let mut false_alarms = 0;
    for alarms in alarms(still, policy, expected, &mut charts, seed.wrapping_add(1), containers) {
        false_alarms += alarms.1.len() as u64;
    }
    let first = alarms(
        world,
        policy,
        expected,
        &mut Charts::default(),
        seed.wrapping_add(2),
        containers,
    )
    .next();
    let first = first.and_then(|(after, alarms)| Some((after, alarms.into_iter().next()?)));
    Drift {
        alarm_after: first.as_ref().map(|(after, _)| *after),
        alarm_by: first.map(|(_, alarm)| words(&alarm)),
        watched: containers,
        false_alarm_every: false_alarm_every(expected) as u64,
        false_alarms,
    }
}

/// The containers after which something alarmed, from 1, each with what did. A chart that alarmed begins anew.
fn alarms<'a>(
    world: &'a World,
    policy: &'a Policy,
    expected: &'a Watch,
    charts: &'a mut Charts,
    seed: u64,
    containers: u64,
) -> impl Iterator<Item = (u64, Vec<Alarm>)> + 'a {
    (1..=containers)
        .zip(world.arrivals(seed))
        .filter_map(move |(count, container)| {
            let (_, sample) = labelled(world, container, 1.0);
            let verdict = judge(policy, &sample);
            let evidence: Vec<&Evidence> = sample.evidence.iter().collect();
            let alarms = charts.observe(expected, &observed(&sample, &evidence, &verdict));
            for alarm in &alarms {
                charts.reset(&alarm.chart);
            }
            (!alarms.is_empty()).then_some((count, alarms))
        })
}

fn words(alarm: &Alarm) -> String {
    let what = match (&alarm.chart, alarm.modality) {
        (ChartKey::Device(_), Some(modality)) => modality.to_string(),
        (ChartKey::Share(share), _) => share.to_string(),
        (chart, _) => chart.to_string(),
    };
    format!("{what} {}", alarm.trend)
}
