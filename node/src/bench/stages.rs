//! Where the time of a commit goes: the leader's own counts, beside what the client sees.

use anyhow::Context;
use portcullis_proto::v1 as pb;
use portcullis_proto::v1::cluster_service_client::ClusterServiceClient;
use serde::Serialize;

use super::grpc::connect;
use super::system::{Kind, System};

/// Mean times of the stages of a commit on the leader, microseconds.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Stages {
    /// Clients at once.
    pub(super) clients: u32,
    /// Commands in one entry of the Raft log, on average.
    pub(super) commands_per_entry: f64,
    /// From the handler until the round is taken from the queue.
    pub(super) queue_us: f64,
    /// Until a quorum has it on disk.
    pub(super) agree_us: f64,
    /// Applying it.
    pub(super) apply_us: f64,
    /// Until the handler is woken.
    pub(super) answer_us: f64,
}

/// The leader's counts at one moment; `None` for a system that has none.
pub(super) async fn counts(system: &mut System) -> anyhow::Result<Option<pb::CommitStages>> {
    if system.kind == Kind::Etcd {
        return Ok(None);
    }
    let leader = system.ready().await?;
    let address = system.addresses.get(&leader).context("the leader has no address")?;
    let mut client = ClusterServiceClient::new(connect(address)?);
    let status = client.get_node_status(pb::GetNodeStatusRequest {}).await?;
    Ok(status.into_inner().commit_stages)
}

/// What lies between two counts of the same leader. `None` when nothing was committed, or by another one.
pub(super) fn between(clients: u32, before: &pb::CommitStages, after: &pb::CommitStages) -> Option<Stages> {
    let stage = |of: fn(&pb::CommitStages) -> Option<pb::StageTime>| {
        let (before, after) = (of(before).unwrap_or_default(), of(after).unwrap_or_default());
        let count = after.count.checked_sub(before.count).filter(|count| *count > 0)?;
        let micros = after.total_us.checked_sub(before.total_us)? as f64 / count as f64;
        Some((count as f64, (micros * 10.0).round() / 10.0))
    };
    let (commands, queue_us) = stage(|stages| stages.queue)?;
    let (entries, agree_us) = stage(|stages| stages.agree)?;
    Some(Stages {
        clients,
        commands_per_entry: (commands / entries * 10.0).round() / 10.0,
        queue_us,
        agree_us,
        apply_us: stage(|stages| stages.apply)?.1,
        answer_us: stage(|stages| stages.answer)?.1,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(count: u64, total_us: u64) -> pb::CommitStages {
        let time = |count| Some(pb::StageTime { count, total_us });
        pb::CommitStages {
            queue: time(4 * count),
            agree: time(count),
            apply: time(count),
            answer: time(count),
        }
    }

    #[test]
    fn stages_are_means_of_what_was_counted_in_between() {
        let stages = between(1, &counts(10, 500), &counts(20, 1500)).unwrap();
        assert_eq!((stages.queue_us, stages.agree_us), (25.0, 100.0));
        assert_eq!(stages.commands_per_entry, 4.0);
    }

    #[test]
    fn a_leader_that_has_just_begun_to_count_has_no_stages() {
        assert!(between(1, &counts(20, 1500), &counts(10, 500)).is_none());
        assert!(between(1, &counts(10, 500), &counts(10, 500)).is_none());
    }
}
