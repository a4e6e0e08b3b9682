//! Announcements as a terminal makes them.

use portcullis_domain::command::{ClusterCommand, Command, CommandBody, ExternalBody, ExternalCommand};
use portcullis_domain::equipment::EquipmentId;
use portcullis_domain::id::{ClusterId, Principal, RequestId, SourceId, TerminalId, Timestamp};
use portcullis_domain::ledger::Ledger;
use portcullis_domain::manifest::{Announcement, GoodsItem, Manifest, Party, PartyRole, Personal};
use portcullis_domain::policy::Policy;

/// 2026-01-01.
const BEGIN: u64 = 1_767_225_600_000;

/// The announcement of this number: one container, one kind of goods, one party.
pub(crate) fn announce(number: u64) -> Command {
    let body = ExternalBody::Announce(Announcement {
        equipment: EquipmentId::new(&format!("ABCU{number:07}")).unwrap(),
        terminal: TerminalId::new("T1").unwrap(),
        ready_at: None,
        due_at: None,
        priority: 0,
        manifest: Manifest {
            goods: vec![GoodsItem {
                sequence: 1,
                commodity_code: "180400".to_owned(),
                description: "Cocoa butter, fat and oil".to_owned(),
                gross_mass_g: Some(15_000_000),
                ..GoodsItem::default()
            }],
            parties: vec![Party {
                role: PartyRole::Importer,
                identity: Personal::Open {
                    salt: [1; 16],
                    value: "Example Trading Company".to_owned(),
                },
            }],
            gross_mass_g: Some(15_000_000),
            ..Manifest::default()
        },
        findings: Vec::new(),
    });
    command(CommandBody::External(ExternalCommand {
        source: SourceId::new("tos-1").unwrap(),
        request: RequestId::new(format!("0198c2d4-7a1b-7000-8000-{number:012x}")).unwrap(),
        principal: Principal::new("tos-1").unwrap(),
        body,
    }))
}

fn command(body: CommandBody) -> Command {
    Command {
        at: Timestamp(BEGIN),
        traceparent: String::new(),
        body,
    }
}

/// A ledger that was founded and holds so many open inspections.
pub(crate) fn ledger(open: u64) -> Ledger {
    let mut ledger = Ledger::new();
    let found = ClusterCommand::Found {
        cluster: ClusterId([7; 16]),
        policy: Policy::first(),
    };
    ledger.apply(command(CommandBody::Cluster(found)));
    for number in 0..open {
        ledger.apply(announce(number));
    }
    assert_eq!(ledger.inspection_count() as u64, open);
    ledger
}
