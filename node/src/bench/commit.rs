//! `bench commit`: announcements, one a call.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use portcullis_proto::v1 as pb;
use prost::Message;
use tonic::codegen::http::uri::PathAndQuery;

use super::bed::Bed;
use super::body::{Series, Template};
use super::cpu;
use super::etcd::pb as etcd;
use super::load::{Load, Operation};
use super::report::{Part, Ratio, Report, Row};
use super::stages;
use super::system::{Kind, System};
use crate::cli::{ClientArgs, CommitArgs, Global, PaceArgs};

/// One write of its own, by a unary call.
pub(super) struct Write {
    kind: Kind,
    pub(super) series: Series,
    template: Template,
    next: Cell<u64>,
}

impl Write {
    /// Writes of a series of their own.
    pub(super) fn new(kind: Kind) -> Self {
        let series = Series::random();
        Self {
            kind,
            series,
            template: match kind {
                Kind::Portcullis => Template::new(&series.announce(), series),
                Kind::Etcd => Template::new(&series.put(), series),
            },
            next: Cell::new(0),
        }
    }

    /// The next request with its number.
    pub(super) fn numbered(&self) -> (u64, Bytes) {
        (self.next.get(), self.next())
    }
}

impl Operation for Write {
    fn path(&self) -> PathAndQuery {
        PathAndQuery::from_static(match self.kind {
            Kind::Portcullis => "/portcullis.v1.InspectionService/Announce",
            Kind::Etcd => "/etcdserverpb.KV/Put",
        })
    }

    fn next(&self) -> Bytes {
        let number = self.next.get();
        self.next.set(number + 1);
        self.template.body(number)
    }

    fn check(&self, answer: Bytes) -> Result<(), String> {
        match self.kind {
            Kind::Portcullis => {
                let answer = pb::AnnounceResponse::decode(answer).map_err(|error| error.to_string())?;
                is_new(&answer)
            }
            Kind::Etcd => {
                let answer = etcd::PutResponse::decode(answer).map_err(|error| error.to_string())?;
                let revision = answer.header.map_or(0, |header| header.revision);
                (revision > 0)
                    .then_some(())
                    .ok_or_else(|| "a put without a revision".to_owned())
            }
        }
    }
}

/// Whether an announcement was written to the log, and not known before.
pub(super) fn is_new(answer: &pb::AnnounceResponse) -> Result<(), String> {
    let written = answer.applied.as_ref().is_some_and(|applied| applied.entry.is_some());
    match (answer.known, written) {
        (false, true) => Ok(()),
        (true, _) => Err("the container was known before".to_owned()),
        (false, false) => Err("nothing was written to the log".to_owned()),
    }
}

/// Measures.
pub(super) async fn run(bed: &mut Bed, global: &Global, args: &CommitArgs) -> anyhow::Result<Report> {
    let systems = if args.bed.beside.is_some() { 2 } else { 1 };
    bed.expect(args.clients.len() as u64 * u64::from(args.pace.rounds) * systems);
    bed.start(global, &args.bed, args.actors, &[]).await?;
    let mut report = Report::new(bed.machine.clone());
    for clients in &args.clients {
        let before = stages::counts(&mut bed.systems[0]).await?;
        let mut parts: Vec<Vec<Part>> = bed.systems.iter().map(|_| Vec::new()).collect();
        for _ in 0..args.pace.rounds {
            for (at, parts) in parts.iter_mut().enumerate() {
                bed.rest().await;
                bed.say(&format!("{} with {clients} clients", bed.systems[at].kind.name()));
                parts.push(part(&mut bed.systems[at], *clients, &args.client, &args.pace, args.rate).await?);
                bed.step();
            }
        }
        let rows: Vec<Row> = bed
            .systems
            .iter()
            .zip(&parts)
            .map(|(system, parts)| Row::of(system.kind.name(), "commit", *clients, 1, parts))
            .collect();
        if let [ours, other] = &rows[..] {
            report.ratios.push(Ratio::of(ours, other));
        }
        report.rows.push(rows);
        if let (Some(before), Some(after)) = (before, stages::counts(&mut bed.systems[0]).await?) {
            report.stages.extend(stages::between(*clients, &before, &after));
        }
    }
    Ok(report)
}

/// One part of a row, of unary writes.
pub(super) async fn part(
    system: &mut System,
    clients: u32,
    client: &ClientArgs,
    pace: &PaceArgs,
    rate: Option<f64>,
) -> anyhow::Result<Part> {
    let leader = system.ready().await?;
    let load = Load {
        connections: &system.connections(leader, client, clients)?,
        clients,
        warm_up: pace.warm_up,
        measured: Duration::from_secs_f64(pace.seconds / f64::from(pace.rounds)),
        rate,
    };
    let operation = Rc::new(Write::new(system.kind));
    let watch = cpu::Watch::start(system.cpu());
    let tally = load.run(operation.clone()).await?;
    Ok(watch.part(tally, operation.next.get(), system.cpu()))
}
