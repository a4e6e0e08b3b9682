//! Drift: what a policy watches, the charts of a cluster, and the request to reset one.

use portcullis_domain::command::{ExternalBody, ExternalCommand};
use portcullis_domain::drift::{Chart, ChartKey, Standing, Trend};
use portcullis_domain::evidence::Modality;
use portcullis_domain::ledger::Ledger;
use portcullis_domain::manifest::TEXT_MAX;
use portcullis_domain::policy::{Share, ShareReference, Watch, WeightReference};
use portcullis_proto::v1 as pb;

use crate::context::decode_context;
use crate::invalid::{self, InvalidField};
use crate::vocabulary::{decode_modality, decode_tier, encode_modality, encode_tier};

/// Reads a request to reset a chart.
///
/// # Errors
/// Names the first field that cannot be, by its path within the request. Whether there is such a chart is the ledger's to
/// say.
pub fn decode_reset_chart(request: pb::ResetChartRequest) -> Result<ExternalCommand, InvalidField> {
    let context = decode_context(request.context)?;
    if request.reason.trim().is_empty() {
        return Err(InvalidField::missing("reason"));
    }
    Ok(context.command(ExternalBody::ResetChart {
        chart: invalid::parse("chart", &request.chart)?,
        reason: invalid::text("reason", request.reason, TEXT_MAX)?,
    }))
}

/// Reads what a policy watches.
///
/// # Errors
/// Names the first field that cannot be. Whether it makes sense is the ledger's to say.
pub fn decode_watch(watch: pb::PolicyWatch) -> Result<Watch, InvalidField> {
    Ok(Watch {
        shift_permille: watch.shift_permille,
        limit: watch.limit_micro_nats,
        weights: invalid::list("weights", watch.weights, Modality::ALL.len(), |one| {
            Ok(WeightReference {
                modality: decode_modality("modality", one.modality)?,
                low: one.low_milli_decibans,
                high: one.high_milli_decibans,
                mean: one.mean_milli_decibans,
                deviation: one.deviation_milli_decibans,
                rise_toll: one.rise_toll_micro_nats,
                fall_toll: one.fall_toll_micro_nats,
            })
        })?,
        shares: invalid::list("shares", watch.shares, Share::ALL.len(), |one| {
            Ok(ShareReference {
                share: decode_share("share", one.share)?,
                ppm: one.ppm,
                hit: one.hit_micro_nats,
                toll: one.toll_micro_nats,
            })
        })?,
        device_tier: decode_tier("device_tier", watch.device_tier)?,
        port_tier: decode_tier("port_tier", watch.port_tier)?,
    })
}

/// Writes what a policy watches.
pub fn encode_watch(watch: &Watch) -> pb::PolicyWatch {
    let weight = |one: &WeightReference| pb::PolicyWeightReference {
        modality: encode_modality(one.modality).into(),
        low_milli_decibans: one.low,
        high_milli_decibans: one.high,
        mean_milli_decibans: one.mean,
        deviation_milli_decibans: one.deviation,
        rise_toll_micro_nats: one.rise_toll,
        fall_toll_micro_nats: one.fall_toll,
    };
    let share = |one: &ShareReference| pb::PolicyShareReference {
        share: encode_share(one.share).into(),
        ppm: one.ppm,
        hit_micro_nats: one.hit,
        toll_micro_nats: one.toll,
    };
    pb::PolicyWatch {
        shift_permille: watch.shift_permille,
        limit_micro_nats: watch.limit,
        weights: watch.weights.iter().map(weight).collect(),
        shares: watch.shares.iter().map(share).collect(),
        device_tier: encode_tier(watch.device_tier).into(),
        port_tier: encode_tier(watch.port_tier).into(),
    }
}

fn decode_share(field: &str, value: i32) -> Result<Share, InvalidField> {
    invalid::known(field, value, |word| match word {
        pb::DriftShare::Unspecified => None,
        pb::DriftShare::Held => Some(Share::Held),
        pb::DriftShare::Examined => Some(Share::Examined),
        pb::DriftShare::Unseen => Some(Share::Unseen),
        pb::DriftShare::Hiding => Some(Share::Hiding),
    })
}

fn encode_share(share: Share) -> pb::DriftShare {
    match share {
        Share::Held => pb::DriftShare::Held,
        Share::Examined => pb::DriftShare::Examined,
        Share::Unseen => pb::DriftShare::Unseen,
        Share::Hiding => pb::DriftShare::Hiding,
    }
}

/// Writes the charts of a ledger, by name.
pub fn encode_charts(ledger: &Ledger) -> Vec<pb::DriftChart> {
    let watch = ledger.policy().and_then(|(_, policy)| policy.watch.as_ref());
    let charts = ledger.charts();
    charts
        .iter()
        .map(|(key, chart)| encode_chart(watch, key, chart, charts.standing(key)))
        .collect()
}

fn encode_chart(watch: Option<&Watch>, key: &ChartKey, chart: &Chart, standing: Option<&Standing>) -> pb::DriftChart {
    pb::DriftChart {
        chart: key.to_string(),
        lane: chart.lane.map(|lane| lane.0),
        modality: chart.modality.map_or(0, |modality| encode_modality(modality).into()),
        seen: chart.seen,
        rises_micro_nats: chart.rises.nats,
        falls_micro_nats: chart.falls.nats,
        alarm: standing.map(|standing| pb::DriftAlarm {
            trend: match standing.alarm.trend {
                Trend::Rises => pb::DriftTrend::Rises,
                Trend::Falls => pb::DriftTrend::Falls,
            }
            .into(),
            after: standing.alarm.after,
            run: standing.alarm.run,
            since_ms: standing.alarm.since.0,
            inspection: standing.alarm.inspection.0,
            entry: standing.entry.0,
            at_ms: standing.at.0,
            tier: watch.map_or(0, |watch| encode_tier(watch.tier(key)).into()),
        }),
    }
}

/// Writes which charts have an alarm that stands, by name.
pub fn encode_adrift(ledger: &Ledger) -> Vec<String> {
    ledger.charts().adrift().iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use portcullis_domain::drift::{Alarm, Sum};
    use portcullis_domain::id::{EntryNo, InspectionNo, LaneId, Timestamp};
    use portcullis_domain::policy::Tier;

    use super::*;
    use crate::context::encode_context;
    use crate::samples;

    fn watch() -> Watch {
        Watch {
            shift_permille: 250,
            limit: 14_150_000,
            weights: vec![WeightReference {
                modality: Modality::Radiation,
                low: -9_000,
                high: 3_000,
                mean: -2_000,
                deviation: 1_500,
                rise_toll: 31_250,
                fall_toll: 31_300,
            }],
            shares: Share::ALL
                .map(|share| ShareReference {
                    share,
                    ppm: 10_000,
                    hit: 405_465,
                    toll: 5_063,
                })
                .to_vec(),
            device_tier: Tier::Exam,
            port_tier: Tier::Release,
        }
    }

    #[test]
    fn what_is_watched_reads_back_as_it_was_written() {
        assert_eq!(decode_watch(encode_watch(&watch())), Ok(watch()));
    }

    #[test]
    fn each_bad_field_of_a_watch_is_named() {
        type Spoil = fn(&mut pb::PolicyWatch);
        let field = |spoil: Spoil| {
            let mut watch = encode_watch(&watch());
            spoil(&mut watch);
            decode_watch(watch).map_err(|invalid| invalid.field)
        };
        let cases: [(Spoil, &str); 5] = [
            (|w| w.weights[0].modality = 0, "weights[0].modality"),
            (|w| w.shares[1].share = 9, "shares[1].share"),
            (|w| w.shares.extend_from_within(..), "shares"),
            (|w| w.device_tier = 0, "device_tier"),
            (|w| w.port_tier = -1, "port_tier"),
        ];
        for (spoil, expected) in cases {
            assert_eq!(field(spoil), Err(expected.to_owned()));
        }
    }

    #[test]
    fn a_chart_is_reset_with_a_reason_or_not_at_all() {
        let request = |chart: &str, reason: &str| pb::ResetChartRequest {
            context: Some(encode_context(&samples::context())),
            chart: chart.to_owned(),
            reason: reason.to_owned(),
        };
        let command = decode_reset_chart(request("share:held", "a new trade lane")).unwrap();
        let expected = ExternalBody::ResetChart {
            chart: ChartKey::Share(Share::Held),
            reason: "a new trade lane".to_owned(),
        };
        assert_eq!(command.body, expected);
        let field = |chart: &str, reason: &str| decode_reset_chart(request(chart, reason)).unwrap_err().field;
        assert_eq!(field("held", "why not"), "chart");
        assert_eq!(field("declarations", " "), "reason");
        assert_eq!(field("declarations", &"x".repeat(513)), "reason");
    }

    #[test]
    fn a_chart_shows_its_sums_and_the_alarm_that_stands() {
        let key = ChartKey::Device("portal".parse().unwrap());
        let chart = Chart {
            lane: Some(LaneId(3)),
            modality: Some(Modality::Radiation),
            seen: 77,
            rises: Sum::default(),
            falls: Sum {
                nats: 15_000_000,
                run: 40,
                since: Timestamp(5),
            },
        };
        let standing = Standing {
            alarm: Alarm {
                chart: key.clone(),
                trend: Trend::Falls,
                lane: chart.lane,
                modality: chart.modality,
                after: 77,
                run: 40,
                since: Timestamp(5),
                inspection: InspectionNo(9),
            },
            entry: EntryNo(100),
            at: Timestamp(6),
        };
        let shown = encode_chart(Some(&watch()), &key, &chart, Some(&standing));
        assert_eq!((shown.chart.as_str(), shown.lane), ("device:portal", Some(3)));
        assert_eq!((shown.rises_micro_nats, shown.falls_micro_nats), (0, 15_000_000));
        let alarm = shown.alarm.unwrap();
        assert_eq!((alarm.trend(), alarm.tier()), (pb::DriftTrend::Falls, pb::Tier::Exam));
        assert_eq!((alarm.after, alarm.run, alarm.entry), (77, 40, 100));
        assert_eq!(encode_chart(None, &key, &chart, None).alarm, None);
    }
}
