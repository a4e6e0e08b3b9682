//! Many writes over one stream, and reads that have seen them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::collections::BTreeMap;

use portcullis_proto::v1 as pb;
use portcullis_proto::v1::inspection_service_client::InspectionServiceClient;
use portcullis_proto::v1::submission::Command;
use portcullis_proto::v1::submit_result::Result as Answer;
use support::{Cluster, DEADLINE, announce, context};
use tonic::transport::Channel;

/// No lane stands there, so that what is announced for it stays as it is.
const QUIET: &str = "T9";

fn submission(command: Command) -> pb::Submission {
    pb::Submission { command: Some(command) }
}

fn announcing(request_id: &str, equipment: &str) -> pb::Submission {
    submission(Command::Announce(announce(request_id, equipment, QUIET)))
}

fn inspection(result: &pb::SubmitResult) -> u64 {
    match result.result.as_ref().unwrap() {
        Answer::Announced(announced) => announced.inspection,
        other => panic!("{other:?}"),
    }
}

fn failure(result: &pb::SubmitResult) -> &pb::Failure {
    match result.result.as_ref().unwrap() {
        Answer::Failure(failure) => failure,
        other => panic!("{other:?}"),
    }
}

/// Sends these batches over one stream: the results of each of them, by its number. Each is answered once.
async fn answers(
    mut client: InspectionServiceClient<Channel>,
    sent: impl IntoIterator<Item = pb::SubmitRequest, IntoIter: Send + 'static>,
) -> BTreeMap<u64, Vec<pb::SubmitResult>> {
    let stream = client.submit(tokio_stream::iter(sent)).await;
    let mut stream = stream.unwrap().into_inner();
    let mut results = BTreeMap::new();
    while let Some(answer) = tokio::time::timeout(DEADLINE, stream.message()).await.unwrap().unwrap() {
        assert!(results.insert(answer.batch, answer.results).is_none());
    }
    results
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_batches_is_answered_batch_by_batch_and_every_node_can_read_what_was_written() {
    let cluster = Cluster::start(3, Vec::new()).await;
    let follower = cluster.follower().await;
    let first = [
        announcing("req-1", "MSKU1234565"),
        // Nothing in it.
        pb::Submission { command: None },
        announcing("req-2", "CSQU3054383"),
        // The first one again: the first answer again.
        announcing("req-1", "MSKU1234565"),
        submission(Command::ReportDeparture(pb::ReportDepartureRequest {
            context: context("req-3"),
            equipment_id: "MSKU1234565".to_owned(),
        })),
    ];
    let sent = [
        pb::SubmitRequest {
            batch: 7,
            submissions: first.to_vec(),
        },
        pb::SubmitRequest {
            batch: 8,
            submissions: (0..200)
                .map(|n| announcing(&format!("many-{n}"), &format!("BULK{n:07}")))
                .collect(),
        },
        pb::SubmitRequest {
            batch: 9,
            submissions: Vec::new(),
        },
    ];
    let results = answers(cluster.inspections(follower), sent).await;
    assert_eq!(results.keys().copied().collect::<Vec<_>>(), [7, 8, 9]);

    let mixed = &results[&7];
    let no = inspection(&mixed[0]);
    assert!(no > 0 && inspection(&mixed[2]) > 0 && inspection(&mixed[2]) != no);
    assert_eq!(mixed[3], mixed[0]);
    let nothing = failure(&mixed[1]);
    assert_eq!(nothing.code, tonic::Code::InvalidArgument as i32);
    assert!(
        nothing.message.contains("submissions[1].command"),
        "{}",
        nothing.message
    );
    let not_released = failure(&mixed[4]);
    assert_eq!(not_released.code, tonic::Code::FailedPrecondition as i32);
    assert!(!not_released.details.is_empty());

    let many: std::collections::BTreeSet<u64> = results[&8].iter().map(inspection).collect();
    assert_eq!(many.len(), 200, "each container has an inspection of its own");
    assert!(results[&9].is_empty());

    for id in cluster.ids() {
        for consistency in [pb::Consistency::Lease, pb::Consistency::Quorum] {
            let request = pb::GetInspectionRequest {
                target: Some(pb::get_inspection_request::Target::Inspection(no)),
                consistency: consistency.into(),
                view: pb::InspectionView::Basic.into(),
            };
            let found = cluster
                .inspections(id)
                .get_inspection(request)
                .await
                .unwrap()
                .into_inner();
            assert!(found.read_point.unwrap().linearizable);
            assert_eq!(found.inspection.unwrap().equipment_id, "MSKU1234565");
        }
    }
}

/// Batches that wait are handed on together; each still gets the answers to its own commands, refused ones in their place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_small_batches_that_come_at_once_each_get_their_own_answers() {
    const BATCHES: u64 = 150;
    let cluster = Cluster::start(1, Vec::new()).await;
    let equipment = |batch: u64| format!("PART{batch:07}");
    let sent = (0..BATCHES).map(move |batch| {
        let mut submissions = vec![announcing(&format!("part-{batch}"), &equipment(batch))];
        if batch % 5 == 0 {
            submissions.insert(0, pb::Submission { command: None });
        }
        if batch % 7 == 0 {
            submissions.clear();
        }
        pb::SubmitRequest { batch, submissions }
    });
    let results = answers(cluster.inspections(1), sent).await;
    assert!(results.keys().copied().eq(0..BATCHES));
    for (batch, results) in results {
        if batch % 7 == 0 {
            assert!(results.is_empty());
            continue;
        }
        assert_eq!(results.len(), 1 + usize::from(batch % 5 == 0));
        if batch % 5 == 0 {
            assert!(failure(&results[0]).message.contains("submissions[0].command"));
        }
        let request = pb::GetInspectionRequest {
            target: Some(pb::get_inspection_request::Target::Inspection(inspection(
                results.last().unwrap(),
            ))),
            consistency: pb::Consistency::Lease.into(),
            view: pb::InspectionView::Basic.into(),
        };
        let found = cluster.inspections(1).get_inspection(request).await.unwrap();
        let found = found.into_inner().inspection.unwrap();
        assert_eq!(found.equipment_id, equipment(batch));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_is_too_large_and_a_consistency_that_does_not_exist_are_refused_by_name() {
    let cluster = Cluster::start(1, Vec::new()).await;
    let batch = pb::SubmitRequest {
        batch: 1,
        submissions: vec![pb::Submission { command: None }; 1025],
    };
    let mut answers = cluster
        .inspections(1)
        .submit(tokio_stream::once(batch))
        .await
        .unwrap()
        .into_inner();
    let refused = answers.message().await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    assert!(refused.message().contains("submissions"), "{refused}");

    let refused = cluster
        .log(1)
        .get_head(pb::GetHeadRequest { consistency: 9 })
        .await
        .unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    assert!(refused.message().contains("consistency"), "{refused}");
}
