//! Load over streams: so many requests in flight, the next one sent when an answer comes.

use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use tokio_stream::wrappers::ReceiverStream;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;

use super::grpc::stream;
use super::tally::Tally;

/// An answer that comes later than this after the end is given up.
const ANSWERS_WITHIN: Duration = Duration::from_secs(15);

/// What goes over a stream.
pub(super) trait Exchange {
    /// The method.
    fn path(&self) -> PathAndQuery;
    /// The next request, different from all before, to be answered under this number. It holds [`Self::batch`] commands.
    fn request(&self, number: u64) -> Bytes;
    /// Commands in a request.
    fn batch(&self) -> u64;
    /// The number of the request that is answered, and what went wrong with how many of its commands.
    ///
    /// # Errors
    /// When it is no answer at all.
    fn answer(&self, answer: Bytes) -> Result<(u64, Option<(u64, String)>), String>;
}

/// Streams with a window, and for how long.
pub(super) struct Flow<'a> {
    /// One stream on each.
    pub(super) connections: &'a [Channel],
    /// Requests in flight on all of them together.
    pub(super) window: u32,
    pub(super) warm_up: Duration,
    pub(super) measured: Duration,
}

impl Flow<'_> {
    /// Runs the flow to its end.
    ///
    /// # Errors
    /// When a stream breaks, or nothing was answered as it should be.
    pub(super) async fn run(&self, exchange: Rc<dyn Exchange>) -> anyhow::Result<Tally> {
        let from = Instant::now() + self.warm_up;
        let until = from + self.measured;
        let mut tally = Tally::new(from, until);
        let streams = u32::try_from(self.connections.len())?;
        let each = |index: u32| (self.window + index) / streams;
        let runs = (0..streams).zip(self.connections).map(|(index, channel)| {
            let part = Tally::new(from, until);
            one_stream(channel.clone(), exchange.clone(), each(index).max(1), part)
        });
        for part in futures::future::try_join_all(runs).await? {
            tally.add(part);
        }
        if tally.answered() == 0 {
            bail!("no request was answered as it should be: {}", tally.first_failure());
        }
        Ok(tally)
    }
}

async fn one_stream(
    channel: Channel,
    exchange: Rc<dyn Exchange>,
    window: u32,
    mut tally: Tally,
) -> anyhow::Result<Tally> {
    let until = tally.until;
    let (requests, receiver) = mpsc::channel(window as usize);
    // A request's number is its place in here, so that its answer finds when it was sent.
    let mut sent = Vec::new();
    for number in 0..u64::from(window) {
        sent.push(Instant::now());
        requests.try_send(exchange.request(number)).context("the window fits")?;
    }
    let mut grpc = Grpc::new(channel);
    let opened = timeout_at(
        until + ANSWERS_WITHIN,
        stream(&mut grpc, exchange.path(), ReceiverStream::new(receiver)),
    );
    let mut answers = opened
        .await
        .context("the stream was not opened in time")?
        .map_err(|status| anyhow::anyhow!("the stream was refused: {status}"))?;
    let mut in_flight = u64::from(window);
    let batch = exchange.batch();
    while in_flight > 0 {
        let Ok(answer) = timeout_at(until + ANSWERS_WITHIN, answers.message()).await else {
            let why = format!("no answer within {} s after the end", ANSWERS_WITHIN.as_secs());
            tally.failed(in_flight * batch, why);
            break;
        };
        let answer = answer
            .map_err(|status| anyhow::anyhow!("the stream broke: {status}"))?
            .context("the server ended the stream")?;
        let done = Instant::now();
        let (number, wrong) = exchange.answer(answer).map_err(|why| anyhow::anyhow!(why))?;
        let due = sent
            .get_mut(usize::try_from(number)?)
            .with_context(|| format!("an answer to request {number}, which was not sent"))?;
        let failed = wrong.as_ref().map_or(0, |(count, _)| *count);
        tally.answer(*due, done, batch - failed.min(batch));
        if let Some((count, why)) = wrong {
            tally.failed(count, why);
        }
        if done < until {
            *due = done;
            requests
                .send(exchange.request(number))
                .await
                .context("the stream ended")?;
        } else {
            in_flight -= 1;
        }
    }
    Ok(tally)
}
