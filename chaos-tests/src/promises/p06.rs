//! P6: all replicas hold the same log: the same size, the same leaves, and at each size the one Merkle root of RFC 6962, which is
//! computed here from the leaves by its definition's frontier. What nodes state is compared with it, as is what watchers saw.

use portcullis_domain::id::Digest;
use portcullis_domain::merkle::{Frontier, leaf_hash};
use portcullis_proto::v1 as pb;
use prost::Message as _;

use super::evidence::digest;
use super::{Evidence, Found, Replayed};
use crate::history::Request;
use crate::write::Told;

pub(super) fn check(evidence: &Evidence, replayed: &Replayed) -> Found {
    let mut found = Found::of("P6");
    let sizes: Vec<(u64, usize)> = evidence.logs.iter().map(|(node, log)| (*node, log.len())).collect();
    if sizes.windows(2).any(|pair| pair[0].1 != pair[1].1) {
        found.add(format!("the nodes hold different numbers of entries: {sizes:?}"));
    }
    let longest = evidence.reference();
    for (node, log) in &evidence.logs {
        let differs = log.iter().zip(longest).position(|(here, there)| here != there);
        if let Some(entry) = differs {
            found.add(format!("entry {entry} is another one on node {node}"));
        }
    }
    let mut frontier = Frontier::default();
    let mut roots = vec![frontier.root()];
    for leaf in longest {
        frontier.append(leaf_hash(leaf));
        roots.push(frontier.root());
    }
    // The ledger that is rebuilt from what the leaves say has the root in its state: encoding them again gives the same bytes.
    if replayed.roots.len() == roots.len() && replayed.roots.last() != roots.last() {
        found.add("the leaves, read and written again, give another root");
    }
    let mut stated = |node: u64, size: u64, root: Option<Digest>| {
        let known = usize::try_from(size).ok().and_then(|size| roots.get(size)).copied();
        match (known, root) {
            (Some(known), Some(root)) if known == root => {}
            (None, _) => found.add(format!(
                "node {node} stated a log of {size} entries, and in the end there are {}",
                longest.len()
            )),
            (_, None) => found.add(format!("node {node} stated a root that is none")),
            (Some(known), Some(root)) => found.add(format!(
                "node {node} stated root {root} over {size} entries; the leaves give {known}"
            )),
        }
    };
    for head in &evidence.heads {
        stated(head.node, head.size, Some(head.root));
    }
    for operation in &evidence.history.operations {
        let Told::Applied(bytes) = &operation.told else {
            continue;
        };
        match &*operation.request {
            Request::GetHead(_) => {
                let head = pb::GetHeadResponse::decode(&**bytes).unwrap_or_default();
                stated(operation.node, head.size, digest(&head.root));
            }
            Request::GetNodeStatus(_) => {
                let status = pb::GetNodeStatusResponse::decode(&**bytes).unwrap_or_default();
                let node = status.node.unwrap_or_default();
                if !node.root.is_empty() {
                    stated(node.id, node.log_size, digest(&node.root));
                }
            }
            _ => {}
        }
    }
    for hole in &evidence.history.holes {
        found.add(format!(
            "{} watched through node {} and got entry {} where {} was due",
            hole.client, hole.node, hole.came, hole.expected
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::{Head, Record, sample};
    use super::*;
    use crate::history::Hole;

    fn judge(evidence: &Evidence) -> Vec<String> {
        sample::words(check(evidence, &Replayed::of(&Record::of(evidence))))
    }

    #[test]
    fn a_clean_run_passes() {
        assert_eq!(judge(&sample::run()), [""; 0]);
    }

    #[test]
    fn logs_of_different_length_or_content_are_found() {
        let mut run = sample::run();
        run.logs.get_mut(&3).unwrap().pop();
        assert!(judge(&run)[0].contains("different numbers of entries"));
        let mut run = sample::run();
        run.logs.get_mut(&3).unwrap()[4][9] ^= 1;
        assert_eq!(judge(&run), ["entry 4 is another one on node 3"]);
    }

    #[test]
    fn a_wrong_root_is_found_wherever_it_is_stated() {
        let mut run = sample::run();
        let head = Head {
            node: 2,
            size: 3,
            root: Digest([7; 32]),
        };
        run.heads.push(head.clone());
        assert!(judge(&run)[0].contains("node 2 stated root"));
        let mut run = sample::run();
        let root = head.root.0.to_vec().into();
        let answer = pb::GetHeadResponse {
            size: 3,
            root,
            ..pb::GetHeadResponse::default()
        };
        let request = Request::GetHead(pb::GetHeadRequest::default());
        sample::add(&mut run, request, Told::Applied(answer.encode_to_vec()));
        assert!(judge(&run)[0].contains("stated root"));
        let mut run = sample::run();
        run.heads.push(Head { size: 4000, ..head });
        assert!(judge(&run)[0].contains("in the end there are"));
    }

    #[test]
    fn a_hole_in_a_watch_is_found() {
        let mut run = sample::run();
        run.history.holes.push(Hole {
            client: "watcher".into(),
            node: 1,
            expected: 4,
            came: 6,
        });
        assert!(judge(&run)[0].contains("where 4 was due"));
    }
}
