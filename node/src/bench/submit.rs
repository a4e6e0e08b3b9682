//! `bench stream`: announcements in batches over a stream.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use portcullis_proto::v1 as pb;
use portcullis_proto::v1::submission::Command;
use portcullis_proto::v1::submit_result::Result as Answer;
use prost::Message;
use prost::encoding::encode_varint;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;

use super::bed::Bed;
use super::body::{Series, Template};
use super::commit;
use super::cpu;
use super::flow::{Exchange, Flow};
use super::grpc::connect;
use super::report::{Part, Ratio, Report, Row};
use super::system::{Kind, System};
use crate::cli::{ClientArgs, Global, StreamArgs, Target};

/// Clients of the system beside ours, which has no stream for writes of their own.
const CLIENTS_BESIDE: u32 = 256;
/// Their connections, as many as `bench commit` takes.
const CONNECTIONS_BESIDE: u32 = 4;
/// Tag of field 1 as a varint: the batch's number.
const NUMBER_TAG: u8 = 1 << 3;

/// Batches of announcements.
struct Submit {
    template: Template,
    batch: u64,
    next: Cell<u64>,
}

impl Submit {
    fn new(batch: u32) -> Self {
        let series = Series::random();
        let one = pb::SubmitRequest {
            batch: 0,
            submissions: vec![pb::Submission {
                command: Some(Command::Announce(series.announce())),
            }],
        };
        Self {
            // A request without a number is its submissions; those of several requests one after the other are one request.
            template: Template::new(&one, series),
            batch: u64::from(batch),
            next: Cell::new(0),
        }
    }
}

impl Exchange for Submit {
    fn path(&self) -> PathAndQuery {
        PathAndQuery::from_static("/portcullis.v1.InspectionService/Submit")
    }

    fn request(&self, number: u64) -> Bytes {
        let first = self.next.get();
        self.next.set(first + self.batch);
        let size = usize::try_from(self.batch).unwrap_or_default() * self.template.len() + 16;
        let mut body = Vec::with_capacity(size);
        body.push(NUMBER_TAG);
        encode_varint(number, &mut body);
        for number in first..first + self.batch {
            self.template.append(number, &mut body);
        }
        body.into()
    }

    fn batch(&self) -> u64 {
        self.batch
    }

    fn answer(&self, answer: Bytes) -> Result<(u64, Option<(u64, String)>), String> {
        let answer = pb::SubmitResponse::decode(answer).map_err(|error| error.to_string())?;
        if answer.results.len() as u64 != self.batch {
            return Err(format!("{} answers to {} commands", answer.results.len(), self.batch));
        }
        let mut failed = None;
        for result in &answer.results {
            let well = match &result.result {
                Some(Answer::Announced(announced)) => commit::is_new(announced),
                Some(Answer::Failure(failure)) => Err(failure.message.clone()),
                _ => Err("an answer to something else".to_owned()),
            };
            if let Err(why) = well {
                failed.get_or_insert((0, why)).0 += 1;
            }
        }
        Ok((answer.batch, failed))
    }
}

/// Measures.
pub(super) async fn run(bed: &mut Bed, global: &Global, args: &StreamArgs) -> anyhow::Result<Report> {
    let systems = if args.bed.beside.is_some() { 2 } else { 1 };
    bed.expect(u64::from(args.pace.rounds) * systems);
    bed.start(global, &args.bed, args.actors, &[]).await?;
    let mut report = Report::new(bed.machine.clone());
    let mut parts: Vec<Vec<Part>> = bed.systems.iter().map(|_| Vec::new()).collect();
    let beside = ClientArgs {
        connections: CONNECTIONS_BESIDE,
        target: Target::Leader,
    };
    for _ in 0..args.pace.rounds {
        for (at, parts) in parts.iter_mut().enumerate() {
            bed.rest().await;
            let system = &mut bed.systems[at];
            parts.push(match system.kind {
                Kind::Portcullis => part(system, args).await?,
                Kind::Etcd => commit::part(system, CLIENTS_BESIDE, &beside, &args.pace, None).await?,
            });
            bed.step();
        }
    }
    let ours = Row::of("portcullis", "stream", args.window, args.batch, &parts[0]);
    let other = parts
        .get(1)
        .map(|parts| Row::of("etcd", "commit", CLIENTS_BESIDE, 1, parts));
    report.ratios.extend(other.iter().map(|other| Ratio::of(&ours, other)));
    report.rows.push([ours].into_iter().chain(other));
    Ok(report)
}

async fn part(system: &mut System, args: &StreamArgs) -> anyhow::Result<Part> {
    let leader = system.ready().await?;
    let address = system.address(leader)?;
    let connections: Vec<Channel> = (0..args.streams.min(args.window))
        .map(|_| connect(address))
        .collect::<anyhow::Result<_>>()?;
    let flow = Flow {
        connections: &connections,
        window: args.window,
        warm_up: args.pace.warm_up,
        measured: Duration::from_secs_f64(args.pace.seconds / f64::from(args.pace.rounds)),
    };
    let submit = Rc::new(Submit::new(args.batch));
    let watch = cpu::Watch::start(system.cpu());
    let tally = flow.run(submit.clone()).await?;
    Ok(watch.part(tally, submit.next.get(), system.cpu()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_one_request_of_the_contract_with_different_commands() {
        let submit = Submit::new(3);
        submit.request(0);
        let request = pb::SubmitRequest::decode(submit.request(300)).unwrap();
        assert_eq!((request.batch, request.submissions.len()), (300, 3));
        let ids: Vec<String> = request
            .submissions
            .into_iter()
            .map(|submission| match submission.command {
                Some(Command::Announce(announce)) => announce.context.unwrap().request_id,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(ids, [3, 4, 5].map(Series::request_id));
    }

    #[test]
    fn a_failed_command_is_counted_and_a_short_answer_is_none() {
        let submit = Submit::new(2);
        let good = pb::SubmitResult {
            result: Some(Answer::Announced(pb::AnnounceResponse {
                inspection: 1,
                known: false,
                applied: Some(pb::Applied {
                    command_number: 1,
                    entry: Some(0),
                }),
            })),
        };
        let bad = pb::SubmitResult {
            result: Some(Answer::Failure(pb::Failure {
                message: "full".to_owned(),
                ..pb::Failure::default()
            })),
        };
        let answer = |results| pb::SubmitResponse { batch: 7, results }.encode_to_vec().into();
        let counted = submit.answer(answer(vec![good.clone(), bad]));
        assert_eq!(counted, Ok((7, Some((1, "full".to_owned())))));
        assert!(submit.answer(answer(vec![good])).is_err());
    }
}
