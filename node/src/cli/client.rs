//! Asking the cluster: one endpoint after the other, until one answers or the time is up.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout, timeout_at};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};

use super::args::Global;
use super::failure::{Asked, Exit, Failure, Refusal, WriteAnswer, chain};

/// Nobody waits longer than this for a connection, as long as there are other nodes to ask.
const CONNECT_MAX: Duration = Duration::from_secs(2);
/// Between two rounds over all endpoints.
const PAUSE: Duration = Duration::from_millis(100);

/// The cluster, as far as it can be asked.
pub(super) struct Cluster {
    endpoints: Vec<Endpoint>,
    timeout: Duration,
}

/// A request with its deadline on the wire.
pub(super) fn timed<M>(message: M, limit: Duration) -> Request<M> {
    let mut request = Request::new(message);
    request.set_timeout(limit);
    request
}

impl Cluster {
    /// The endpoints and the time limit of the command line.
    pub(super) fn new(global: &Global) -> Result<Self, Failure> {
        let endpoints: Vec<Endpoint> = global
            .endpoints
            .iter()
            .filter(|text| !text.trim().is_empty())
            .map(|text| endpoint(text))
            .collect::<Result<_, _>>()?;
        if endpoints.is_empty() {
            return Err(Failure::usage("--endpoint", "no endpoint is given").next("give one, such as 127.0.0.1:7401"));
        }
        Ok(Self {
            endpoints,
            timeout: global.timeout,
        })
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// How many nodes can be asked.
    pub(super) fn size(&self) -> usize {
        self.endpoints.len()
    }

    /// Connects to the endpoint of this number, counted around.
    pub(super) async fn connect(&self, number: usize) -> Result<(Channel, String), Status> {
        let endpoint = &self.endpoints[number % self.endpoints.len()];
        let address = address_of(endpoint);
        let limit = self.timeout.min(CONNECT_MAX);
        match timeout(limit, endpoint.connect()).await {
            Ok(Ok(channel)) => Ok((channel, address)),
            Ok(Err(error)) => Err(Status::unavailable(format!("{address} {}", chain(&error)))),
            Err(_) => Err(Status::deadline_exceeded(format!(
                "{address} did not take the connection in time"
            ))),
        }
    }

    /// Asks until there is an answer that asking again would not change, or the time is up. A write is safe to repeat,
    /// because it is repeated under its request id.
    pub(super) async fn ask<T>(
        &self,
        asked: Asked<'_>,
        call: impl AsyncFn(Channel, Duration) -> Result<Response<T>, Status>,
    ) -> Result<T, Failure> {
        let end = Instant::now() + self.timeout;
        // Once a write may have been taken in, only an answer of the ledger tells what became of it.
        let mut unknown = false;
        for round in 0.. {
            let mut nobody = true;
            let mut last = Status::unavailable("no endpoint");
            let mut wait = PAUSE;
            for number in 0..self.endpoints.len() {
                // In the first round a node that hangs must leave time for the others.
                let left = end.saturating_duration_since(Instant::now());
                let sharers = if round == 0 { self.endpoints.len() - number } else { 1 };
                let limit = left / u32::try_from(sharers).unwrap_or(1);
                let status = match self.connect(number).await {
                    Err(status) => status,
                    Ok((channel, _)) => {
                        nobody = false;
                        let status = match timeout_at(Instant::now() + limit, call(channel, limit)).await {
                            Ok(Ok(response)) => return Ok(response.into_inner()),
                            Ok(Err(status)) => status,
                            Err(_) => Status::deadline_exceeded(""),
                        };
                        let refusal = Refusal::of(&status, asked);
                        let Some(delay) = refusal.again_after(status.code()) else {
                            return Err(Failure::of_status(&status, asked));
                        };
                        unknown |= refusal.write == Some(WriteAnswer::Unknown);
                        wait = wait.max(delay);
                        status
                    }
                };
                last = status;
                if Instant::now() >= end {
                    break;
                }
            }
            let left = end.saturating_duration_since(Instant::now());
            if (nobody && round == 0) || left <= wait {
                return Err(self.given_up(&last, nobody, unknown, asked));
            }
            sleep(wait).await;
        }
        Err(Failure::new(Exit::Unreachable, "nobody answered"))
    }

    /// Asks for something that changes nothing.
    pub(super) async fn read<M: Clone, T>(
        &self,
        request: M,
        call: impl AsyncFn(Channel, Request<M>) -> Result<Response<T>, Status>,
    ) -> Result<T, Failure> {
        self.ask(Asked::Read, async |channel, limit| {
            call(channel, timed(request.clone(), limit)).await
        })
        .await
    }

    fn given_up(&self, last: &Status, nobody: bool, unknown: bool, asked: Asked<'_>) -> Failure {
        let mut failure = if nobody {
            let asked: Vec<String> = self
                .endpoints
                .iter()
                .map(|endpoint| endpoint.uri().to_string())
                .collect();
            Failure::new(Exit::Unreachable, format!("no node can be reached: {}", last.message()))
                .field(format!("--endpoint {}", asked.join(" ")))
                .next("start a port with: portcullis demo")
                .next("or name a node that runs: --endpoint HOST:PORT, or PORTCULLIS_ENDPOINT")
        } else {
            Failure::of_status(last, asked)
        };
        if let Asked::Write(id) = asked {
            if unknown && failure.write != Some(WriteAnswer::Unknown) {
                failure.exit = Exit::Unreachable;
                failure.write = Some(WriteAnswer::Unknown);
                let again =
                    format!("ask again with the same options and --request-id {id}: the first answer comes back");
                failure.next.insert(0, again);
            } else if nobody && !unknown {
                failure.write = Some(WriteAnswer::Refused);
            }
        }
        failure
    }
}

/// Statuses after which a stream is worth trying again, here or elsewhere.
pub(super) fn stream_may_go_on(status: &Status) -> bool {
    let refusal = Refusal::of(status, Asked::Read);
    refusal.again_after(status.code()).is_some()
        // A connection that breaks within a stream comes as one of these.
        || (refusal.reason.is_none() && matches!(status.code(), Code::Unknown | Code::Internal | Code::Aborted))
}

/// An endpoint as people write it.
fn address_of(endpoint: &Endpoint) -> String {
    endpoint.uri().to_string().trim_end_matches('/').to_owned()
}

fn endpoint(text: &str) -> Result<Endpoint, Failure> {
    let text = text.trim();
    let url = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    let bad = |why: &str| {
        Failure::usage("--endpoint", format!("{text:?} cannot be asked: {why}"))
            .next("write it as HOST:PORT, such as 127.0.0.1:7401")
    };
    if !url.starts_with("http://") {
        return Err(bad("only http:// is spoken; nodes listen on loopback only"));
    }
    let endpoint = Endpoint::from_shared(url).map_err(|error| bad(&chain(&error)))?;
    if endpoint.uri().port().is_none() {
        return Err(bad("the port is missing"));
    }
    Ok(endpoint
        .connect_timeout(CONNECT_MAX)
        // Streams go on elsewhere within seconds when a node hangs.
        .http2_keep_alive_interval(Duration::from_secs(3))
        .keep_alive_timeout(Duration::from_secs(3))
        .keep_alive_while_idle(true))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(endpoints: &[&str]) -> Result<Cluster, Failure> {
        Cluster::new(&Global {
            endpoints: endpoints.iter().map(|text| (*text).to_owned()).collect(),
            timeout: Duration::from_secs(5),
            output: None,
            endpoints_given: false,
        })
    }

    #[test]
    fn endpoints_may_be_written_with_and_without_scheme() {
        let cluster = cluster(&["127.0.0.1:7401", "http://localhost:7402", "[::1]:7403"]).unwrap();
        assert_eq!(cluster.size(), 3);
    }

    #[test]
    fn an_endpoint_that_cannot_be_is_a_usage_error_that_says_how_to_write_it() {
        for bad in ["https://127.0.0.1:7401", "127.0.0.1", "a b:1", "", "http://"] {
            let failure = cluster(&[bad]).err().unwrap_or_else(|| panic!("{bad:?} is taken"));
            assert_eq!(failure.exit, Exit::Usage, "{bad:?}");
            assert!(failure.to_string().contains("127.0.0.1:7401"), "{failure}");
        }
    }

    /// A port of this machine on which nobody listens.
    fn dead_port() -> String {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().to_string()
    }

    #[tokio::test]
    async fn when_nobody_is_there_the_answer_is_quick_and_a_write_certainly_had_no_effect() {
        let cluster = cluster(&[&dead_port(), &dead_port()]).unwrap();
        let started = Instant::now();
        let failure = cluster
            .ask(Asked::Write("id-1"), async |_, _| -> Result<Response<()>, Status> {
                unreachable!("nobody is there")
            })
            .await
            .unwrap_err();
        assert!(started.elapsed() < Duration::from_secs(4));
        assert_eq!(
            (failure.exit, failure.write),
            (Exit::Unreachable, Some(WriteAnswer::Refused))
        );
        assert!(failure.to_string().contains("portcullis demo"), "{failure}");
    }

    #[tokio::test]
    async fn an_answer_of_a_later_endpoint_counts_and_unknown_writes_are_asked_again() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let live = listener.local_addr().unwrap().to_string();
        // Connecting is all that is needed here: the calls below never use the channel.
        tokio::spawn(async move {
            let mut open = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                open.push(stream);
            }
        });
        let cluster = cluster(&[&dead_port(), &live]).unwrap();
        let tries = std::cell::Cell::new(0);
        let answer = cluster
            .ask(Asked::Write("id-1"), async |_, limit| {
                assert!(limit <= Duration::from_secs(5));
                tries.set(tries.get() + 1);
                if tries.get() < 3 {
                    Err(Status::unavailable("the leader changes"))
                } else {
                    Ok(Response::new(7))
                }
            })
            .await;
        assert_eq!((answer.unwrap(), tries.get()), (7, 3));
    }
}
