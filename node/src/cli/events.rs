//! `portcullis events tail`: follows the events, and goes on through another node when a stream breaks.

use std::time::Duration;

use portcullis_proto::v1;
use portcullis_proto::v1::inspection_service_client::InspectionServiceClient;
use portcullis_proto::v1::watch_response::Item;
use portcullis_wire::status::ENTRY_BEYOND_HEAD;
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};
use tonic::{Status, Streaming};

use super::args::TailArgs;
use super::case_file::detail;
use super::client::{Cluster, stream_may_go_on};
use super::failure::{Asked, Exit, Failure, Refusal, plain};
use super::inspection::equipment;
use super::json::to_json;
use super::log::get_head;
use super::output::{Output, or_dash, remark};
use super::utc::{parse_utc, utc};

/// A stream on which nothing came for so long, not even a bookmark, is taken for dead.
const IDLE: Duration = Duration::from_secs(45);
/// How long to look for a node that goes on.
const SEARCH: Duration = Duration::from_secs(60);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(200);

pub(super) async fn tail(cluster: &Cluster, output: &mut Output, args: TailArgs) -> Result<Exit, Failure> {
    let request = v1::WatchRequest {
        resume_token: String::new(),
        from_entry: None,
        from_time_ms: None,
        inspections: args.inspection.iter().map(|inspection| inspection.0).collect(),
        equipment_ids: args
            .equipment
            .iter()
            .map(|text| Ok(equipment(text)?.to_string()))
            .collect::<Result<_, Failure>>()?,
        kinds: args.kind.clone(),
        lanes: args.lane.iter().map(|lane| lane.0).collect(),
    };
    let follow = args.follow && !args.no_follow;
    // The head makes "now" and "the end" the same on whichever node the stream runs, and goes on.
    let head = get_head(cluster).await?.size;
    let mut place = Place::new(args.from.as_deref(), if follow { head } else { 0 }, request);
    if let Some(entry) = place.request.from_entry.filter(|entry| *entry > head) {
        return Err(Failure::new(
            Exit::NotFound,
            format!("the log has {head} entries, from 0; {entry} is not one"),
        )
        .field("--from")
        .next("leave --from out to follow what happens from now on"));
    }
    let until = (!follow).then_some(head);
    tokio::select! {
        result = pass_on(cluster, output, &mut place, until, args.max) => result.map_err(|failure| place.keep(failure)),
        _ = tokio::signal::ctrl_c() => {
            place.tell();
            Ok(Exit::Interrupted)
        }
    }
}

/// Where the stream is, so that it can go on from there without gap and without repeating anything.
struct Place {
    request: v1::WatchRequest,
    /// The next entry that is new; entries below it were shown or were not asked for.
    next: u64,
    /// How many entries of the log were looked at, as far as the streams said.
    looked_at: u64,
    /// A stream has brought something, so that there is a place to keep.
    moved: bool,
}

/// What came.
enum Came {
    Event(Box<v1::Event>),
    /// Nothing to show.
    Nothing,
}

impl Place {
    /// `from` is a token, an entry or a time; without it the stream starts at entry `usual`.
    fn new(from: Option<&str>, usual: u64, mut request: v1::WatchRequest) -> Self {
        let mut next = 0;
        match from.map(|from| (from, from.parse::<u64>(), parse_utc(from))) {
            None => (request.from_entry, next) = (Some(usual), usual),
            Some((_, Ok(entry), _)) => (request.from_entry, next) = (Some(entry), entry),
            Some((_, Err(_), Some(at))) => request.from_time_ms = Some(at),
            Some((token, Err(_), None)) => token.clone_into(&mut request.resume_token),
        }
        Self {
            request,
            next,
            looked_at: next,
            moved: false,
        }
    }

    /// Takes in what a stream brought.
    fn take(&mut self, response: v1::WatchResponse) -> Came {
        if !response.resume_token.is_empty() {
            self.moved = true;
            self.request.from_entry = None;
            self.request.from_time_ms = None;
            self.request.resume_token = response.resume_token;
        }
        match response.item {
            // Streams promise "at least once"; who reads this wants "once".
            Some(Item::Event(event)) if event.entry >= self.next => {
                self.next = event.entry + 1;
                self.looked_at = self.looked_at.max(self.next);
                Came::Event(Box::new(event))
            }
            Some(Item::Bookmark(bookmark)) => {
                self.looked_at = self.looked_at.max(bookmark.log_size);
                Came::Nothing
            }
            Some(Item::Event(_)) | None => Came::Nothing,
        }
    }

    fn tell(&self) {
        let from = match (self.request.resume_token.as_str(), self.request.from_time_ms) {
            ("", Some(at)) => utc(at),
            ("", None) => self.next.to_string(),
            (token, _) => token.to_owned(),
        };
        remark(format!("go on with --from {from}"));
    }

    /// An error must not lose the place.
    fn keep(&self, failure: Failure) -> Failure {
        if !self.moved || failure.what.is_empty() {
            return failure;
        }
        failure.next(format!("go on later with --from {}", self.request.resume_token))
    }
}

/// Shows what comes until the end, over as many streams as that takes.
async fn pass_on(
    cluster: &Cluster,
    output: &mut Output,
    place: &mut Place,
    until: Option<u64>,
    max: Option<u64>,
) -> Result<Exit, Failure> {
    let mut shown = 0;
    let mut node = 0;
    let mut silent_since = Instant::now();
    loop {
        let broken = match open(cluster, node, &place.request).await {
            Err(status) => status,
            Ok((mut stream, address)) => loop {
                if until.is_some_and(|until| place.looked_at >= until) {
                    return Ok(Exit::Ok);
                }
                let response = match timeout(IDLE, stream.message()).await {
                    Ok(Ok(Some(response))) => response,
                    Ok(Ok(None)) => break Status::unavailable(format!("{address} ended the stream")),
                    Ok(Err(status)) => break status,
                    Err(_) => {
                        silent_since = Instant::now();
                        break Status::deadline_exceeded(format!("{address} has been silent for too long"));
                    }
                };
                silent_since = Instant::now();
                let Came::Event(event) = place.take(response) else {
                    continue;
                };
                if until.is_some_and(|until| event.entry >= until) {
                    return Ok(Exit::Ok);
                }
                show(output, &event, &place.request.resume_token)?;
                shown += 1;
                if max.is_some_and(|max| shown >= max) {
                    return Ok(Exit::Ok);
                }
            },
        };
        let behind = Refusal::of(&broken, Asked::Read).reason.as_deref() == Some(ENTRY_BEYOND_HEAD);
        // A replica that is behind will catch up; meanwhile another one is asked.
        if !(behind || stream_may_go_on(&broken)) || silent_since.elapsed() > SEARCH {
            return Err(Failure::of_status(&broken, Asked::Read));
        }
        // Quiet while there are nodes left to try, so that a rolling restart is not a page of remarks.
        if node % cluster.size() == cluster.size() - 1 {
            remark(format!(
                "no node goes on with the events ({}); trying again",
                plain(broken.message())
            ));
        }
        node += 1;
        sleep(PAUSE).await;
    }
}

async fn open(
    cluster: &Cluster,
    node: usize,
    request: &v1::WatchRequest,
) -> Result<(Streaming<v1::WatchResponse>, String), Status> {
    let (channel, address) = cluster.connect(node).await?;
    // A deadline on the wire would end the stream itself; what is limited is the wait for it.
    let mut client = InspectionServiceClient::new(channel);
    match timeout(cluster.timeout(), client.watch(request.clone())).await {
        Ok(response) => Ok((response?.into_inner(), address)),
        Err(_) => Err(Status::deadline_exceeded(format!(
            "{address} did not open the stream in time"
        ))),
    }
}

fn show(output: &mut Output, event: &v1::Event, token: &str) -> Result<(), Failure> {
    output.element(
        || {
            let mut json = to_json("Event", event);
            json["resume_token"] = json!(token);
            json
        },
        || line(event, token),
    )
}

/// An event in one line, the token last.
fn line(event: &v1::Event, token: &str) -> String {
    let inspections: Vec<String> = event
        .inspections
        .iter()
        .map(|number| format!("insp-{number}"))
        .collect();
    let subject = or_dash((!inspections.is_empty()).then(|| inspections.join(",")));
    let container = or_dash((!event.equipment_id.is_empty()).then_some(&event.equipment_id));
    let actor = event
        .actor
        .as_ref()
        .map(|actor| actor.text.as_str())
        .unwrap_or_default();
    let text = format!(
        "{:>6}  {}  {:<17} {subject:<10} {container:<12} {actor}  {}  {token}",
        event.entry,
        utc(event.at_ms),
        event.kind,
        detail(event),
    );
    plain(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(entry: u64, token: &str) -> v1::WatchResponse {
        let event = v1::Event {
            entry,
            ..Default::default()
        };
        v1::WatchResponse {
            resume_token: token.to_owned(),
            item: Some(Item::Event(event)),
        }
    }

    fn entries(place: &mut Place, responses: impl IntoIterator<Item = v1::WatchResponse>) -> Vec<u64> {
        responses
            .into_iter()
            .filter_map(|response| match place.take(response) {
                Came::Event(event) => Some(event.entry),
                Came::Nothing => None,
            })
            .collect()
    }

    #[test]
    fn a_start_is_an_entry_a_time_a_token_or_the_usual_one() {
        let place = |from| Place::new(from, 77, v1::WatchRequest::default());
        assert_eq!(place(None).request.from_entry, Some(77));
        assert_eq!(place(Some("12")).request.from_entry, Some(12));
        let mut time = place(Some("2026-03-01T12:00Z"));
        assert_eq!(
            (time.request.from_entry, time.request.from_time_ms),
            (None, Some(1_772_366_400_000))
        );
        assert_eq!(entries(&mut time, [event(7, "a")]), [7]);
        assert_eq!((time.request.from_time_ms, &time.request.resume_token[..]), (None, "a"));
        let token = place(Some("AQEx"));
        assert_eq!(
            (token.request.from_entry, token.request.resume_token.as_str()),
            (None, "AQEx")
        );
    }

    #[test]
    fn what_another_node_repeats_is_shown_once_and_the_last_token_is_kept() {
        let mut place = Place::new(None, 10, v1::WatchRequest::default());
        assert_eq!(entries(&mut place, [event(10, "a"), event(12, "b")]), [10, 12]);
        assert_eq!(
            (place.request.from_entry, place.request.resume_token.as_str()),
            (None, "b")
        );
        assert_eq!(
            entries(&mut place, [event(10, "a2"), event(12, "b2"), event(13, "c2")]),
            [13]
        );
        assert_eq!(place.request.resume_token, "c2");
    }

    #[test]
    fn a_stream_that_breaks_before_its_first_token_starts_at_the_same_entry() {
        let mut place = Place::new(None, 10, v1::WatchRequest::default());
        assert!(entries(&mut place, []).is_empty());
        assert_eq!(place.request.from_entry, Some(10));
    }

    #[test]
    fn a_bookmark_moves_the_place_without_showing_anything() {
        let mut place = Place::new(None, 0, v1::WatchRequest::default());
        let bookmark = v1::Bookmark {
            log_size: 50,
            port_time_ms: 0,
        };
        let response = v1::WatchResponse {
            resume_token: "m".to_owned(),
            item: Some(Item::Bookmark(bookmark)),
        };
        assert!(entries(&mut place, [response]).is_empty());
        assert_eq!((place.looked_at, place.request.resume_token.as_str()), (50, "m"));
    }

    #[test]
    fn an_event_is_a_line_with_its_token_at_the_end() {
        let event = v1::Event {
            entry: 41,
            at_ms: 1_772_366_400_000,
            kind: "concluded".to_owned(),
            inspections: vec![7],
            equipment_id: "DM1234".to_owned(),
            actor: Some(v1::Actor {
                text: "fusion/7 e3".to_owned(),
                actor: None,
            }),
            detail_json: r#"{"tier":"release","inspection":7}"#.to_owned(),
            ..Default::default()
        };
        assert_eq!(
            line(&event, "TOKEN"),
            "    41  2026-03-01T12:00:00.000Z  concluded         insp-7     DM1234       fusion/7 e3  tier=release  TOKEN"
        );
    }
}
