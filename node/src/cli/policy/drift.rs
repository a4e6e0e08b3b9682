//! The drift charts of a running cluster: how they stand, and resetting one.

use portcullis_domain::drift::ChartKey;
use portcullis_proto::v1;
use portcullis_proto::v1::policy_service_client::PolicyServiceClient;
use serde_json::json;

use crate::cli::args::{Asker, Global};
use crate::cli::asker::{context, encode, receipt, receipt_text};
use crate::cli::client::{Cluster, timed};
use crate::cli::failure::{Asked, Exit, Failure};
use crate::cli::json::to_json;
use crate::cli::output::{Output, or_dash, table};
use crate::cli::utc::utc;
use crate::cli::words;

/// Shows every chart.
pub(super) async fn ls(global: &Global, output: &mut Output) -> Result<Exit, Failure> {
    let request = v1::ListChartsRequest {
        consistency: v1::Consistency::Quorum.into(),
    };
    let charts = Cluster::new(global)?
        .read(request, async |channel, request| {
            PolicyServiceClient::new(channel).list_charts(request).await
        })
        .await?;
    output.document(|| to_json("ListChartsResponse", &charts), |width| text(&charts, width))?;
    Ok(Exit::Ok)
}

/// Resets one.
pub(super) async fn reset(
    global: &Global,
    output: &mut Output,
    chart: &ChartKey,
    reason: &str,
    asker: &Asker,
) -> Result<Exit, Failure> {
    let cluster = Cluster::new(global)?;
    let context = context(asker, None)?;
    let answer = cluster
        .ask(Asked::Write(context.request.as_str()), async |channel, limit| {
            let request = v1::ResetChartRequest {
                context: encode(&context),
                chart: chart.to_string(),
                reason: reason.to_owned(),
            };
            PolicyServiceClient::new(channel)
                .reset_chart(timed(request, limit))
                .await
        })
        .await?;
    output.document(
        || {
            let mut json = receipt(answer.applied, &context);
            json["chart"] = json!(chart.to_string());
            json
        },
        |_| format!("{chart} has no alarm\n{}", receipt_text(answer.applied, &context)),
    )?;
    Ok(Exit::Ok)
}

fn text(charts: &v1::ListChartsResponse, width: Option<u16>) -> String {
    if charts.limit_micro_nats == 0 {
        return "the active policy watches nothing; one that is learned from outcomes does".to_owned();
    }
    let share = |sum: u64| format!("{} %", sum * 100 / u64::from(charts.limit_micro_nats));
    let rows = charts.charts.iter().map(|chart| {
        let alarm = chart.alarm.as_ref();
        let state = alarm.map(|alarm| format!("ADRIFT: {} since {}", words::trend(alarm.trend), utc(alarm.since_ms)));
        vec![
            chart.chart.clone(),
            or_dash(chart.lane.map(|lane| format!("lane-{lane}"))),
            words::modality(chart.modality),
            chart.seen.to_string(),
            share(chart.rises_micro_nats),
            share(chart.falls_micro_nats),
            state.unwrap_or_else(|| "steady".to_owned()),
            or_dash(alarm.map(|alarm| format!("at least {}", words::tier(alarm.tier)))),
            or_dash(alarm.map(|alarm| alarm.entry)),
        ]
    });
    let headers = [
        "CHART",
        "LANE",
        "MODALITY",
        "SEEN",
        "RISES",
        "FALLS",
        "STATE",
        "WHAT RESTS ON IT",
        "ENTRY",
    ];
    table(&headers, rows.collect(), &[3, 4, 5, 8], width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charts_are_listed_with_how_far_they_are_from_an_alarm() {
        let charts = v1::ListChartsResponse {
            charts: vec![
                v1::DriftChart {
                    chart: "device:l1-radiation".to_owned(),
                    lane: Some(1),
                    modality: v1::Modality::Radiation.into(),
                    seen: 2_411,
                    falls_micro_nats: 14_100_000,
                    alarm: Some(v1::DriftAlarm {
                        trend: v1::DriftTrend::Falls.into(),
                        since_ms: 1_772_366_400_000,
                        entry: 90,
                        tier: v1::Tier::Review.into(),
                        ..Default::default()
                    }),
                    ..Default::default()
                },
                v1::DriftChart {
                    chart: "share:held".to_owned(),
                    seen: 5_000,
                    rises_micro_nats: 3_500_000,
                    ..Default::default()
                },
            ],
            limit_micro_nats: 14_000_000,
            read_point: None,
        };
        let expected = "\
CHART                LANE    MODALITY   SEEN  RISES  FALLS  STATE                                         WHAT RESTS ON IT  ENTRY
device:l1-radiation  lane-1  radiation  2411    0 %  100 %  ADRIFT: falls since 2026-03-01T12:00:00.000Z  at least review      90
share:held           -       -          5000   25 %    0 %  steady                                        -                     -";
        assert_eq!(text(&charts, None), expected);
        assert!(text(&v1::ListChartsResponse::default(), None).contains("watches nothing"));
    }
}
