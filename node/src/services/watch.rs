//! Following the decision log as events, from a resume token, with bookmarks when nothing happens.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::{Stream, StreamExt, stream};
use portcullis_consensus::View;
use portcullis_domain::codec;
use portcullis_domain::equipment::EquipmentId;
use portcullis_domain::event::{Event, Leaf};
use portcullis_domain::id::{EntryNo, InspectionNo};
use portcullis_proto::v1 as pb;
use portcullis_wire::watch::{WatchFilter, WatchFrom};
use tokio::sync::mpsc;
use tokio_stream::wrappers::{IntervalStream, ReceiverStream};
use tonic::Status;

use super::Gateway;

/// A watcher hears at least this often: it then knows that it misses nothing and where to resume.
const BOOKMARK_EVERY: Duration = Duration::from_secs(1);
/// Events that may wait for a watcher.
const WAITING: usize = 64;
/// Visits of one container that are asked of the index at once.
const VISITS: usize = 500;

impl Gateway {
    pub(super) async fn follow_events(
        &self,
        request: pb::WatchRequest,
    ) -> Result<impl Stream<Item = Result<pb::WatchResponse, Status>> + Send + use<>, Status> {
        let cluster = self.inner.cluster;
        let (filter, from) = portcullis_wire::watch::decode_watch(request, cluster)
            .map_err(|unusable| portcullis_wire::status::unusable("resume_token", &unusable))?;
        let permit = self.inner.watchers.clone().try_acquire_owned().map_err(|_| {
            let detail = format!(
                "this node serves {} watchers at most",
                self.inner.config.limits.watchers
            );
            super::full("TOO_MANY_WATCHERS", &detail)
        })?;
        let view = self.inner.consensus.view();
        let size = view.log_size;
        let start = match from {
            WatchFrom::Entry(entry) if entry.0 > size => {
                return Err(portcullis_wire::status::beyond_head(entry.0, size));
            }
            WatchFrom::Entry(entry) => portcullis_domain::mutant!(WatchResumesLate, (entry.0 + 1).min(size), entry.0),
            WatchFrom::Time(at) => {
                let first = self.inner.consensus.first_entry_since(at).await;
                first.map_err(|error| super::failed_read(&error))?
            }
            WatchFrom::Now => size,
        };

        let conditions = filter.conditions();
        let mut visits = self.visits(&view, &filter, from).await?;
        let port_time = self.inner.port_time.clone();
        let leaves = self.inner.consensus.follow(start).map(Item::Leaf);
        let ticks = IntervalStream::new(tokio::time::interval(BOOKMARK_EVERY)).map(|_| Item::Tick);
        let mut next = start;
        let stop = self.inner.stop.clone();
        let items = stream::select(leaves, ticks).take_until(async move { stop.cancelled().await });
        let events = items.filter_map(move |item| {
            // The permit lives as long as the stream.
            let _held = &permit;
            let answer = match item {
                Item::Leaf(Ok((entry, bytes))) => {
                    next = entry + 1;
                    match codec::from_bytes::<Leaf>(&bytes) {
                        Ok(leaf) => {
                            if let Event::Announced {
                                inspection,
                                announcement,
                                ..
                            } = &leaf.event
                                && filter.containers().any(|wanted| *wanted == announcement.equipment)
                            {
                                visits.insert(*inspection, announcement.equipment.clone());
                            }
                            let wanted = filter.matches(&leaf.event, |no| visits.get(&no).cloned());
                            wanted.then(|| {
                                let event = portcullis_wire::event::encode_event(EntryNo(entry), &leaf);
                                Ok(pb::watch_response::Item::Event(event))
                            })
                        }
                        Err(error) => Some(Err(portcullis_wire::status::internal(&format!(
                            "entry {entry}: {error}"
                        )))),
                    }
                }
                Item::Leaf(Err(error)) => Some(Err(super::failed_read(&error))),
                Item::Tick => Some(Ok(pb::watch_response::Item::Bookmark(pb::Bookmark {
                    // What this stream has looked at, which is what the watcher may rely on.
                    log_size: next,
                    port_time_ms: port_time.now().0,
                }))),
            };
            let token = portcullis_wire::token::encode_resume_token(cluster, EntryNo(next), conditions);
            let answer = answer.map(|answer| {
                answer.map(|item| pb::WatchResponse {
                    resume_token: token,
                    item: Some(item),
                })
            });
            std::future::ready(answer)
        });
        Ok(ReceiverStream::new(forward(
            events,
            self.inner.config.limits.stream_idle,
        )))
    }
}

impl Gateway {
    /// The inspections of the containers that a watch asks for, as far as their events may come without naming them. Those
    /// to come are learned from their announcements.
    async fn visits(
        &self,
        view: &View,
        filter: &WatchFilter,
        from: WatchFrom,
    ) -> Result<BTreeMap<InspectionNo, EquipmentId>, Status> {
        let mut visits = BTreeMap::new();
        for container in filter.containers() {
            let mut after = 0;
            loop {
                // What is closed has no more events: a watch of what is to come needs the open one only.
                let numbers = match from {
                    WatchFrom::Now => {
                        let open = view.ledger.open_inspection(container).map(|open| open.no.0);
                        open.filter(|no| *no >= after).into_iter().collect()
                    }
                    WatchFrom::Entry(_) | WatchFrom::Time(_) => {
                        let visits = self.inner.consensus.inspections_of_container(container, after, VISITS);
                        visits.await.map_err(|error| super::failed_read(&error))?
                    }
                };
                let Some(last) = numbers.last() else { break };
                after = last + 1;
                visits.extend(numbers.iter().map(|no| (InspectionNo(*no), container.clone())));
            }
        }
        Ok(visits)
    }
}

/// Passes a stream on as long as somebody takes it. A watcher that takes nothing for too long loses its place.
fn forward(
    events: impl Stream<Item = Result<pb::WatchResponse, Status>> + Send + 'static,
    idle: Duration,
) -> mpsc::Receiver<Result<pb::WatchResponse, Status>> {
    let (sender, receiver) = mpsc::channel(WAITING);
    tokio::spawn(async move {
        let mut events = std::pin::pin!(events);
        loop {
            let next = tokio::select! {
                () = sender.closed() => return,
                next = events.next() => next,
            };
            let Some(next) = next else { return };
            let last = next.is_err();
            portcullis_domain::mutant!(
                WatchSkips,
                if sender.capacity() < WAITING {
                    continue;
                }
            );
            if sender.send_timeout(next, idle).await.is_err() || last {
                return;
            }
        }
    });
    receiver
}

enum Item {
    Leaf(Result<(u64, bytes::Bytes), portcullis_consensus::ReadError>),
    Tick,
}
