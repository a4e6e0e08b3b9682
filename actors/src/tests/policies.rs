//! What a policy that changes means for containers under way.

use std::time::Duration;

use portcullis_domain::command::ExternalBody;
use portcullis_domain::evidence::Modality;
use portcullis_domain::fusion::Reason;
use portcullis_domain::inspection::Stage;
use portcullis_domain::placement::ActorKey;
use portcullis_domain::policy::{Policy, Tier};
use portcullis_domain::reading::ReadingContent;

use super::port::*;

fn adopt(port: &Port, change: impl FnOnce(&mut Policy)) -> Policy {
    let mut policy = Policy::first();
    policy.name = "changed".to_owned();
    change(&mut policy);
    port.external(ExternalBody::AdoptPolicy {
        policy: policy.clone(),
        reason: String::new(),
    });
    policy
}

#[tokio::test(start_paused = true)]
async fn a_container_that_waits_with_as_many_passes_as_are_allowed_from_now_on_goes_to_exam() {
    let port = Port::new();
    port.external(ExternalBody::DefineLane(full_lane(LANE)));
    let _node = port.one_node().await;
    port.until_placed(&ActorKey::Lane(LANE)).await;
    let _scale = sensor(Device::attach(&port, LANE, "scale-1").await, Modality::Weighbridge);
    let _camera = sensor(Device::attach(&port, LANE, "camera-1").await, Modality::Ocr);
    let _orders = controller(Device::attach(&port, LANE, "controller-1").await);
    let mut portal = Device::attach(&port, LANE, "portal-1").await;
    let no = port.announce(BOX);
    let (inspection, _) = portal.expect_start().await;
    let sample = ReadingContent::Radiation(quiet(500));
    portal.measure(Some(inspection), 1, sample).await;
    portal.leave();
    // Without its portal no lane can measure it, so it waits.
    port.until("it waits again", |ledger| {
        let case = ledger.inspection(no).unwrap();
        case.stage == Stage::Queued && case.passes.0 == 1
    })
    .await;
    // Virtual time in which every actor looks several times, and finds that nothing about the container changes any more.
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(port.case(no).stage, Stage::Queued);
    adopt(&port, |policy| policy.passes_max = 1);
    port.until_concluded(no).await;
    let verdict = port.case(no).conclusion.clone().unwrap().verdict;
    assert_eq!(verdict.tier, Tier::Exam);
    assert!(
        verdict.reasons.contains(&Reason::PassesExhausted { passes: 1 }),
        "{verdict:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_pass_that_began_under_one_policy_is_judged_by_the_one_that_is_active_at_its_end() {
    let port = Port::new();
    port.external(ExternalBody::DefineLane(full_lane(LANE)));
    let _node = port.one_node().await;
    let _orders = equip(&port, LANE).await;
    let no = port.announce(BOX);
    port.until("the pass begins", |ledger| {
        ledger.lane(LANE).is_some_and(|lane| lane.current == Some(no))
    })
    .await;
    let policy = adopt(&port, |policy| {
        for rule in &mut policy.families {
            rule.review = -900_000;
        }
    });
    port.until_concluded(no).await;
    let case = port.case(no);
    let conclusion = case.conclusion.as_ref().unwrap();
    assert_eq!(conclusion.policy, policy.digest());
    assert_eq!(
        (conclusion.verdict.tier, case.stage),
        (Tier::Review, Stage::UnderReview)
    );
}
