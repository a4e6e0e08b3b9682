//! `portcullis announce`: tells the port which containers come, from a declaration or by hand.

use std::path::Path;

use portcullis_detectors::declaration::{self, DeclaredContainer};
use portcullis_domain::codec::to_bytes;
use portcullis_domain::equipment::EquipmentId;
use portcullis_domain::finding::Finding;
use portcullis_domain::id::{Digest, RequestId, TerminalId, Timestamp};
use portcullis_domain::manifest::{Announcement, GoodsItem, Manifest, TEXT_MAX};
use portcullis_proto::v1;
use portcullis_proto::v1::inspection_service_client::InspectionServiceClient;
use portcullis_wire::announcement::encode_announcement;
use portcullis_wire::context::Context;
use serde_json::{Value, json};

use super::args::AnnounceArgs;
use super::asker::{context, encode, receipt, receipt_text};
use super::client::{Cluster, timed};
use super::cluster;
use super::failure::{Asked, Exit, Failure, chain};
use super::inspection::equipment;
use super::output::{Output, facts, remark, section, table};
use super::span::parse_span;
use super::utc::parse_utc;

pub(super) async fn announce(cluster: &Cluster, output: &mut Output, args: AnnounceArgs) -> Result<Exit, Failure> {
    let named = args.equipment.as_deref().map(equipment).transpose()?;
    let containers = match (&args.declaration, named) {
        (Some(path), named) => declared(path, named)?,
        (None, Some(named)) => vec![by_hand(named, &args.goods)?],
        (None, None) => return Err(Failure::usage("--equipment", "no container is named")),
    };
    if containers.len() > 1 && args.asker.request_id.is_some() {
        let what = format!("one request id cannot stand for {} containers", containers.len());
        return Err(
            Failure::usage("--request-id", what).next("announce one of them with --equipment ID, or leave the id out")
        );
    }
    let terminal = TerminalId::new(&args.terminal).map_err(|error| Failure::usage("--terminal", error.to_string()))?;
    let due_at = due(cluster, args.due.as_deref()).await?;

    let mut announced = Vec::new();
    for container in containers {
        // What the id deviates in is for the ledger to say, which looks at every id itself.
        let of_id = container.equipment.findings();
        let announcement = Announcement {
            equipment: container.equipment,
            terminal: terminal.clone(),
            ready_at: None,
            due_at,
            priority: args.priority,
            manifest: container.manifest,
            findings: container
                .findings
                .into_iter()
                .filter(|finding| !of_id.contains(finding))
                .collect(),
        };
        let context = context(&args.asker, usual_id(&announcement))?;
        let request = v1::AnnounceRequest {
            context: encode(&context),
            announcement: Some(encode_announcement(&announcement)),
        };
        let answer = cluster
            .ask(Asked::Write(context.request.as_str()), async |channel, limit| {
                InspectionServiceClient::new(channel)
                    .announce(timed(request.clone(), limit))
                    .await
            })
            .await
            .map_err(|failure| about(failure, &announcement.equipment, announced.len()))?;
        announced.push(Announced {
            announcement,
            context,
            answer,
        });
    }
    output.document(
        || json!({ "announced": announced.iter().map(Announced::json).collect::<Vec<_>>() }),
        |width| {
            announced
                .iter()
                .map(|one| one.text(width))
                .collect::<Vec<_>>()
                .join("\n")
        },
    )?;
    Ok(Exit::Ok)
}

/// An announcement and its answer.
struct Announced {
    announcement: Announcement,
    context: Context,
    answer: v1::AnnounceResponse,
}

impl Announced {
    /// What is odd about document and id.
    fn findings(&self) -> impl Iterator<Item = Finding> {
        self.announcement
            .findings
            .iter()
            .cloned()
            .chain(self.announcement.equipment.findings())
    }

    fn json(&self) -> Value {
        let mut json = receipt(self.answer.applied, &self.context);
        let document = self.announcement.manifest.document.as_ref();
        let findings: Vec<Value> = self
            .findings()
            .map(|finding| json!({ "code": finding.code.as_str(), "field": finding.field, "detail": finding.detail }))
            .collect();
        json["inspection"] = json!(self.answer.inspection);
        json["known"] = json!(self.answer.known);
        json["equipment_id"] = json!(self.announcement.equipment.as_str());
        json["document_sha256"] = json!(document.map(|document| document.digest.to_string()));
        json["goods"] = json!(self.announcement.manifest.goods.len());
        json["findings"] = json!(findings);
        json
    }

    fn text(&self, width: Option<u16>) -> String {
        let document = self.announcement.manifest.document.as_ref();
        let was = if self.answer.known {
            ", which was open already"
        } else {
            ""
        };
        let head = facts(&[
            ("container", self.announcement.equipment.to_string()),
            ("inspection", format!("insp-{}{was}", self.answer.inspection)),
            (
                "document",
                document
                    .map(|document| format!("{}, sha256 {}", document.format, document.digest))
                    .unwrap_or_default(),
            ),
            ("goods", format!("{} items", self.announcement.manifest.goods.len())),
            ("write", receipt_text(self.answer.applied, &self.context)),
        ]);
        let rows: Vec<Vec<String>> = self
            .findings()
            .map(|finding| vec![finding.code.to_string(), finding.field.clone(), finding.detail.clone()])
            .collect();
        let findings = if rows.is_empty() {
            String::new()
        } else {
            table(
                &["FINDING", "WHERE", "WHAT"],
                rows,
                &[],
                width.map(|width| width.saturating_sub(2)),
            )
        };
        format!("{head}\n{}", section("Findings about document and id", &findings))
    }
}

/// The containers of a declaration. `named` chooses one of several, or stands in for the one that the declaration
/// leaves out or names otherwise.
fn declared(path: &Path, named: Option<EquipmentId>) -> Result<Vec<DeclaredContainer>, Failure> {
    let file = path.display().to_string();
    let bytes = std::fs::read(path)
        .map_err(|error| Failure::new(Exit::Error, format!("cannot read the file: {error}")).field(file.clone()))?;
    let mut declaration = declaration::read(&bytes).map_err(|error| {
        Failure::new(Exit::Error, chain(&error))
            .field(file.clone())
            .next("nothing was announced")
    })?;
    if let Some(named) = &named {
        match declaration.equipment.as_mut_slice() {
            [] => declaration.equipment.push(declaration::Equipment {
                id: named.clone(),
                size_type: String::new(),
                seals: Vec::new(),
            }),
            [only] if only.id != *named => {
                remark(format!("the declaration names {}; announcing {named} as told", only.id));
                let written = std::mem::replace(&mut only.id, named.clone());
                for of_goods in declaration.goods.iter_mut().flat_map(|goods| &mut goods.equipment) {
                    if *of_goods == written {
                        *of_goods = named.clone();
                    }
                }
            }
            _ => {}
        }
    }
    // Salts are the business of the node that takes the announcement in: what is sent is the value.
    let mut containers = declaration.containers(|| [0; 16]);
    if containers.is_empty() {
        return Err(Failure::new(Exit::Error, "the declaration names no container")
            .field(format!("{file}: TransportEquipment"))
            .next("name it: --equipment ID"));
    }
    if let Some(named) = named {
        let known: Vec<String> = containers
            .iter()
            .map(|container| container.equipment.to_string())
            .collect();
        containers.retain(|container| container.equipment == named);
        if containers.is_empty() {
            return Err(
                Failure::new(Exit::NotFound, format!("the declaration does not name {named}"))
                    .field(format!("{file}: TransportEquipment"))
                    .next(format!("it names {}", known.join(", "))),
            );
        }
    }
    Ok(containers)
}

/// A container without a declaration.
fn by_hand(equipment: EquipmentId, goods: &[String]) -> Result<DeclaredContainer, Failure> {
    let goods = (1..)
        .zip(goods)
        .map(|(sequence, description)| {
            if description.len() > TEXT_MAX {
                return Err(Failure::usage(
                    "--goods",
                    format!("a description is longer than {TEXT_MAX} bytes"),
                ));
            }
            Ok(GoodsItem {
                sequence,
                description: description.clone(),
                ..GoodsItem::default()
            })
        })
        .collect::<Result<_, _>>()?;
    Ok(DeclaredContainer {
        equipment,
        manifest: Manifest {
            goods,
            ..Manifest::default()
        },
        findings: Vec::new(),
    })
}

/// The same document announced in the same way is the same request. Without a document it is a new one each time, since
/// the same container may come again.
fn usual_id(announcement: &Announcement) -> Option<RequestId> {
    announcement.manifest.document.as_ref()?;
    let digest = Digest::of(&to_bytes(announcement)).to_string();
    RequestId::new(format!("doc-{}", digest.get(..40)?)).ok()
}

/// When the container must leave. A time from now on is counted on the port's clock.
async fn due(cluster: &Cluster, text: Option<&str>) -> Result<Option<Timestamp>, Failure> {
    let Some(text) = text else { return Ok(None) };
    let bad = || {
        Failure::usage("--due", format!("{text:?} is no moment"))
            .next("write 2026-03-01T12:00:00Z, or +90m for 90 minutes from now on the port's clock")
    };
    match text.strip_prefix('+') {
        Some(span) => {
            let span = parse_span(span).map_err(|_| bad())?;
            let now = Timestamp(cluster::get(cluster).await?.port_time_ms);
            Ok(Some(
                now.plus_millis(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)),
            ))
        }
        None => parse_utc(text).map(|ms| Some(Timestamp(ms))).ok_or_else(bad),
    }
}

/// Says which of several containers an error is about, and what is done already.
fn about(failure: Failure, equipment: &EquipmentId, done: usize) -> Failure {
    let field = failure
        .field
        .clone()
        .map_or_else(|| equipment.to_string(), |field| format!("{equipment}, {field}"));
    let failure = failure.field(field);
    if done == 0 {
        return failure;
    }
    failure.next(format!(
        "{done} containers before it are announced; the same command again changes nothing about them"
    ))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn declarations() -> Vec<PathBuf> {
        let folder = std::env::var_os("PORTCULLIS_TEST_DATA")
            .map(|folder| Path::new(&folder).join("wco-dm").join("declarations"));
        let files = folder.and_then(|folder| std::fs::read_dir(folder).ok());
        if files.is_none() {
            eprintln!("skipped: no declarations; PORTCULLIS_TEST_DATA names the folder of public input files");
        }
        files
            .into_iter()
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.path()))
            .collect()
    }

    fn announcement(container: DeclaredContainer) -> Announcement {
        Announcement {
            equipment: container.equipment,
            terminal: TerminalId::new("T1").unwrap(),
            ready_at: None,
            due_at: None,
            priority: 0,
            manifest: container.manifest,
            findings: container.findings,
        }
    }

    #[test]
    fn every_real_declaration_can_be_announced_under_a_given_container_and_twice_is_the_same_request() {
        for path in declarations() {
            let once = |named: &str| {
                let containers = declared(&path, Some(equipment(named).unwrap()));
                containers.map(|mut containers| announcement(containers.remove(0)))
            };
            let (first, second) = match (once("MSKU1234565"), once("MSKU1234565")) {
                (Ok(first), Ok(second)) => (first, second),
                (failure, _) => {
                    // More than one container, and this is none of them: the error names them.
                    let failure = failure.unwrap_err();
                    assert!(
                        failure.to_string().contains("it names"),
                        "{}: {failure}",
                        path.display()
                    );
                    continue;
                }
            };
            assert_eq!(usual_id(&first), usual_id(&second), "{}", path.display());
            assert_eq!(first.equipment.as_str(), "MSKU1234565");
            assert!(!first.manifest.goods.is_empty(), "{}", path.display());
            let other = Announcement {
                priority: 1,
                ..first.clone()
            };
            assert_ne!(usual_id(&first), usual_id(&other));
        }
    }

    #[test]
    fn an_announcement_by_hand_is_a_new_request_each_time() {
        let by_hand = by_hand(equipment("DM1234").unwrap(), &["Cocoa butter".to_owned()]).unwrap();
        assert_eq!(by_hand.manifest.goods[0].description, "Cocoa butter");
        assert_eq!(usual_id(&announcement(by_hand)), None);
    }

    #[test]
    fn a_file_that_is_no_declaration_is_refused_with_its_name_and_the_reason() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(
            file.path(),
            "<!DOCTYPE bomb [<!ENTITY a \"a\">]><MetaData>&a;</MetaData>",
        )
        .unwrap();
        let failure = declared(file.path(), None).unwrap_err();
        assert!(failure.what.contains("DOCTYPE"), "{failure}");
        assert_eq!(failure.field, Some(file.path().display().to_string()));
        let failure = declared(Path::new("no-such.xml"), None).unwrap_err();
        assert_eq!(failure.field.as_deref(), Some("no-such.xml"));
    }
}
