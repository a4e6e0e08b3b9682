//! `portcullis lane ls`, `open` and `close`.

use portcullis_domain::id::LaneId;
use portcullis_proto::v1;
use portcullis_proto::v1::lane_service_client::LaneServiceClient;
use serde_json::json;

use super::args::Asker;
use super::asker::{context, encode, receipt, receipt_text};
use super::client::{Cluster, timed};
use super::failure::{Asked, Exit, Failure};
use super::json::to_json;
use super::output::{Output, or_dash, table};
use super::words;

pub(super) async fn ls(cluster: &Cluster, output: &mut Output, terminal: Option<String>) -> Result<Exit, Failure> {
    let lanes = get(cluster, terminal.unwrap_or_default()).await?;
    output.document(
        || to_json("ListLanesResponse", &lanes),
        |width| text(&lanes.lanes, width),
    )?;
    Ok(Exit::Ok)
}

/// The lanes of a terminal, or all.
pub(super) async fn get(cluster: &Cluster, terminal: String) -> Result<v1::ListLanesResponse, Failure> {
    let request = v1::ListLanesRequest {
        terminal,
        consistency: v1::Consistency::Local.into(),
    };
    cluster
        .read(request, async |channel, request| {
            LaneServiceClient::new(channel).list_lanes(request).await
        })
        .await
}

/// Opens or closes a lane.
pub(super) async fn set_open(
    cluster: &Cluster,
    output: &mut Output,
    lane: LaneId,
    open: bool,
    asker: &Asker,
) -> Result<Exit, Failure> {
    let context = context(asker, None)?;
    let applied = cluster
        .ask(Asked::Write(context.request.as_str()), async |channel, limit| {
            let mut client = LaneServiceClient::new(channel);
            if open {
                let request = v1::OpenLaneRequest {
                    context: encode(&context),
                    lane: lane.0,
                };
                let answer = client.open_lane(timed(request, limit)).await?;
                Ok(tonic::Response::new(answer.into_inner().applied))
            } else {
                let request = v1::CloseLaneRequest {
                    context: encode(&context),
                    lane: lane.0,
                };
                let answer = client.close_lane(timed(request, limit)).await?;
                Ok(tonic::Response::new(answer.into_inner().applied))
            }
        })
        .await?;
    output.document(
        || {
            let mut json = receipt(applied, &context);
            json["lane"] = json!(lane.0);
            json["open"] = json!(open);
            json
        },
        |_| {
            format!(
                "{lane} is {}\n{}",
                if open { "open" } else { "closed" },
                receipt_text(applied, &context)
            )
        },
    )?;
    Ok(Exit::Ok)
}

fn text(lanes: &[v1::Lane], width: Option<u16>) -> String {
    let rows: Vec<Vec<String>> = lanes
        .iter()
        .map(|lane| {
            let definition = lane.definition.clone().unwrap_or_default();
            let inspection = |number: Option<u64>| or_dash(number.map(|number| format!("insp-{number}")));
            vec![
                format!("lane-{}", definition.lane),
                definition.terminal,
                if lane.open { "open" } else { "closed" }.to_owned(),
                if definition.scheduled {
                    "scheduler"
                } else {
                    "what stands there"
                }
                .to_owned(),
                or_dash(lane.node.map(|node| format!("node-{node}"))),
                lane.epoch.to_string(),
                inspection(lane.next_inspection),
                inspection(lane.current_inspection),
                lane.queued.to_string(),
                definition
                    .devices
                    .iter()
                    .map(|one| device(one, &lane.adrift))
                    .collect::<Vec<_>>()
                    .join(", "),
            ]
        })
        .collect();
    if rows.is_empty() {
        return "no lanes".to_owned();
    }
    let headers = [
        "LANE", "TERMINAL", "STATE", "TAKES", "NODE", "EPOCH", "NEXT", "IN PASS", "QUEUED", "DEVICES",
    ];
    table(&headers, rows, &[5, 8], width)
}

/// What a device is, in a word, and whether it is adrift.
fn device(device: &v1::Device, adrift: &[String]) -> String {
    let word = match device.kind {
        Some(v1::device::Kind::Sensor(modality)) => words::modality(modality),
        Some(v1::device::Kind::Controller(_)) => "controller".to_owned(),
        None => device.id.clone(),
    };
    match adrift.contains(&device.id) {
        true => format!("{word} ADRIFT"),
        false => word,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_are_listed_with_where_they_run_and_what_they_do() {
        let lanes = [
            v1::Lane {
                definition: Some(v1::LaneDefinition {
                    lane: 1,
                    terminal: "T1".to_owned(),
                    devices: vec![
                        v1::Device {
                            kind: Some(v1::device::Kind::Controller(true)),
                            ..Default::default()
                        },
                        v1::Device {
                            id: "l1-radiation".to_owned(),
                            kind: Some(v1::device::Kind::Sensor(v1::Modality::Radiation as i32)),
                            ..Default::default()
                        },
                    ],
                    scheduled: true,
                    ..Default::default()
                }),
                open: true,
                current_inspection: Some(41),
                node: Some(2),
                epoch: 17,
                queued: 3,
                adrift: vec!["l1-radiation".to_owned()],
                ..Default::default()
            },
            v1::Lane {
                definition: Some(v1::LaneDefinition {
                    lane: 9,
                    terminal: "T1".to_owned(),
                    ..Default::default()
                }),
                ..Default::default()
            },
        ];
        let expected = "\
LANE    TERMINAL  STATE   TAKES              NODE    EPOCH  NEXT  IN PASS  QUEUED  DEVICES
lane-1  T1        open    scheduler          node-2     17  -     insp-41       3  controller, radiation ADRIFT
lane-9  T1        closed  what stands there  -           0  -     -             0";
        assert_eq!(text(&lanes, None), expected);
    }
}
