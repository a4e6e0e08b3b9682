//! `bench ceiling`: what gRPC alone reaches between two processes, and synced writes alone on the disk.

use std::cell::Cell;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use prost::Message;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Server as GrpcServer};
use tonic::{Request, Response, Status, Streaming};

use super::bed::Bed;
use super::body::PAYLOAD;
use super::cpu;
use super::flow::{Exchange, Flow};
use super::grpc::connect;
use super::load::{Load, Operation};
use super::report::{Part, Report, Row};
use crate::cli::{CeilingArgs, PaceArgs};
use crate::local::{Server, stop_all};
use crate::loopback::addresses;
use pb::EchoMessage;
use pb::echo_server::{Echo, EchoServer};

#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
mod pb {
    tonic::include_proto!("portcullis.bench.v1");
}

/// A server that is not there after this time has failed.
const READY_WITHIN: Duration = Duration::from_secs(10);

/// Answers with what it is asked.
struct Mirror;

#[tonic::async_trait]
impl Echo for Mirror {
    async fn unary(&self, request: Request<EchoMessage>) -> Result<Response<EchoMessage>, Status> {
        Ok(Response::new(request.into_inner()))
    }

    type StreamStream = Pin<Box<dyn Stream<Item = Result<EchoMessage, Status>> + Send>>;

    async fn stream(&self, request: Request<Streaming<EchoMessage>>) -> Result<Response<Self::StreamStream>, Status> {
        Ok(Response::new(request.into_inner().boxed()))
    }
}

/// Serves until standard input ends, as it does when the process that started this one is gone.
pub(super) async fn serve(listen: SocketAddr) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("listening on {listen}"))?;
    let incoming = TcpListenerStream::new(listener)
        .map(|stream| stream.and_then(|stream| stream.set_nodelay(true).map(|()| stream)));
    let ended = async {
        let (mut stdin, mut sink) = (tokio::io::stdin(), [0; 64]);
        while stdin.read(&mut sink).await.is_ok_and(|count| count > 0) {}
    };
    let server = GrpcServer::builder()
        .tcp_nodelay(true)
        .initial_stream_window_size(8 << 20)
        .initial_connection_window_size(32 << 20)
        .add_service(EchoServer::new(Mirror))
        .serve_with_incoming(incoming);
    tokio::select! {
        ended = server => Ok(ended?),
        () = ended => Ok(()),
        () = crate::signal::asked_to_stop() => Ok(()),
    }
}

/// Echo, by unary calls or over a stream.
struct Mirrored {
    sent: Cell<u64>,
    message: EchoMessage,
}

impl Mirrored {
    fn new() -> Self {
        let message = EchoMessage {
            number: 0,
            body: vec![b'e'; PAYLOAD].into(),
        };
        Self {
            sent: Cell::new(0),
            message,
        }
    }

    fn next(&self, number: u64) -> Bytes {
        self.sent.set(self.sent.get() + 1);
        let mut message = self.message.clone();
        message.number = number;
        message.encode_to_vec().into()
    }
}

fn decoded(answer: Bytes) -> Result<EchoMessage, String> {
    let answer = EchoMessage::decode(answer).map_err(|error| error.to_string())?;
    if answer.body.len() == PAYLOAD {
        Ok(answer)
    } else {
        Err("the echo is not what was sent".to_owned())
    }
}

impl Operation for Mirrored {
    fn path(&self) -> PathAndQuery {
        PathAndQuery::from_static("/portcullis.bench.v1.Echo/Unary")
    }

    fn next(&self) -> Bytes {
        self.next(self.sent.get())
    }

    fn check(&self, answer: Bytes) -> Result<(), String> {
        decoded(answer).map(drop)
    }
}

impl Exchange for Mirrored {
    fn path(&self) -> PathAndQuery {
        PathAndQuery::from_static("/portcullis.bench.v1.Echo/Stream")
    }

    fn request(&self, number: u64) -> Bytes {
        self.next(number)
    }

    fn batch(&self) -> u64 {
        1
    }

    fn answer(&self, answer: Bytes) -> Result<(u64, Option<(u64, String)>), String> {
        decoded(answer).map(|answer| (answer.number, None))
    }
}

/// Measures the ceilings alone.
pub(super) async fn run(bed: &mut Bed, args: &CeilingArgs) -> anyhow::Result<Report> {
    bed.expect(2 * args.clients.len() as u64);
    let mut report = Report::new(bed.machine.clone());
    report
        .rows
        .push(rows(bed, &args.clients, args.connections, &args.pace).await?);
    Ok(report)
}

/// Two rows for each number of clients: unary calls, and one stream with as many messages in flight.
///
/// # Errors
/// When the server does not come up.
pub(super) async fn rows(bed: &Bed, clients: &[u32], connections: u32, pace: &PaceArgs) -> anyhow::Result<Vec<Row>> {
    let address = addresses(1, 0)?[&1].to_string();
    let arguments = ["bench", "echo-server", "--listen", &address].map(Into::into).into();
    let program = std::env::current_exe().context("finding this program")?;
    let mut server = Server::new(1, address, bed.dir().join("echo.txt"), program, arguments);
    server.start()?;
    let rows = with_server(bed, &server, clients, connections, pace).await;
    stop_all(std::iter::once(&mut server)).await;
    rows
}

async fn with_server(
    bed: &Bed,
    server: &Server,
    clients: &[u32],
    connections: u32,
    pace: &PaceArgs,
) -> anyhow::Result<Vec<Row>> {
    let deadline = Instant::now() + READY_WITHIN;
    while tokio::net::TcpStream::connect(&server.address).await.is_err() {
        if Instant::now() > deadline {
            bail!(
                "the echo server does not come up; the reason is in {}",
                server.log.display()
            );
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut rows = Vec::new();
    for clients in clients {
        for mode in ["echo unary", "echo stream"] {
            bed.say(&format!("{mode} with {clients} clients"));
            let mut parts = Vec::new();
            for _ in 0..pace.rounds {
                parts.push(part(server, mode, *clients, connections, pace).await?);
            }
            rows.push(Row::of("echo", mode, *clients, 1, &parts));
            bed.step();
        }
    }
    Ok(rows)
}

async fn part(server: &Server, mode: &str, clients: u32, connections: u32, pace: &PaceArgs) -> anyhow::Result<Part> {
    let measured = Duration::from_secs_f64(pace.seconds / f64::from(pace.rounds));
    let warm_up = pace.warm_up;
    let cpu_of_server = || server.pid().and_then(cpu::used);
    let echo = Rc::new(Mirrored::new());
    let watch = cpu::Watch::start(cpu_of_server());
    let tally = if mode == "echo unary" {
        let connections: Vec<Channel> = (0..connections.min(clients))
            .map(|_| connect(&server.address))
            .collect::<anyhow::Result<_>>()?;
        let load = Load {
            connections: &connections,
            clients,
            warm_up,
            measured,
            rate: None,
        };
        load.run(echo.clone()).await?
    } else {
        let flow = Flow {
            connections: &[connect(&server.address)?],
            window: clients,
            warm_up,
            measured,
        };
        flow.run(echo.clone()).await?
    };
    Ok(watch.part(tally, echo.sent.get(), cpu_of_server()))
}
