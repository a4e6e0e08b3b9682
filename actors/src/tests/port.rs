//! A port for tests: one real ledger behind a mutex, nodes that share it, and devices that behave.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ed25519_dalek::{Signer as _, SigningKey};
use portcullis_domain::command::{ClusterCommand, Command, CommandBody, ExternalBody, ExternalCommand};
use portcullis_domain::equipment::EquipmentId;
use portcullis_domain::event::Event;
use portcullis_domain::evidence::Modality;
use portcullis_domain::id::{
    BootId, ClusterId, DeviceId, Digest, InspectionNo, LaneId, NodeId, PassNo, Principal, RequestId, SampleNo,
    SourceId, TerminalId, Timestamp,
};
use portcullis_domain::inspection::Inspection;
use portcullis_domain::lane::{DeviceKind, DeviceSpec, LaneSpec};
use portcullis_domain::ledger::{Ledger, LogEntry};
use portcullis_domain::manifest::{Announcement, GoodsItem, Manifest};
use portcullis_domain::message::{Envelope, FromDevice, ToDevice};
use portcullis_domain::outcome::Outcome;
use portcullis_domain::placement::ActorKey;
use portcullis_domain::policy::Policy;
use portcullis_domain::reading::{
    Candidate, DetectorCounts, RadiationKind, RadiationSample, Reading, ReadingContent, ReadingHeader, Recognition,
    SignedReading, Weighing,
};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::{
    Attachment, BlobError, Blobs, BoxFuture, Clock, DevicePort, Host, HostConfig, Identity, LedgerView, Link,
    LinkError, Ports, ProposeError, Proposer, Quorum, ReadingDecoder,
};

pub(super) const LANE: LaneId = LaneId(1);
pub(super) const BOX: &str = "CBHU6192031";

/// What happens to the next proposal of an actor.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    NotApplied,
    /// Applied, but nobody is told.
    AnswerLost,
    /// Neither applied nor answered.
    RequestLost,
    Slow(Duration),
}

/// The cluster's memory, and everything that the fake ports share.
pub(super) struct Port {
    ledger: Mutex<Arc<Ledger>>,
    pub(super) log: Mutex<Vec<LogEntry>>,
    pub(super) faults: Mutex<VecDeque<Fault>>,
    pub(super) quorum: watch::Sender<bool>,
    pub(super) blobs: Mutex<BTreeMap<Digest, Arc<[u8]>>>,
    /// The store of readings takes nothing.
    pub(super) store_full: AtomicBool,
    /// The next look at the clock panics.
    pub(super) clock_panics: AtomicBool,
    views: Mutex<Vec<Arc<View>>>,
    hosts: Mutex<BTreeMap<NodeId, Host>>,
    readings: Mutex<HashMap<Vec<u8>, Reading>>,
    next: AtomicU64,
    started: Instant,
}

/// One node's replica.
struct View {
    port: Arc<Port>,
    /// Stands still while the node is cut off or paused.
    frozen: Mutex<Option<Arc<Ledger>>>,
    changes: watch::Sender<u64>,
}

impl LedgerView for View {
    fn ledger(&self) -> Arc<Ledger> {
        self.frozen
            .lock()
            .unwrap()
            .clone()
            .unwrap_or_else(|| self.port.ledger())
    }
    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

/// What all nodes have in common.
struct Shared(Arc<Port>);

impl Proposer for Shared {
    fn propose(&self, body: CommandBody, _: String) -> BoxFuture<'_, Result<Outcome, ProposeError>> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let fault = match &body {
                CommandBody::Actor(_) => self.0.faults.lock().unwrap().pop_front(),
                _ => None,
            };
            match fault {
                Some(Fault::NotApplied) => Err(ProposeError::NotApplied {
                    reason: "no leader".to_owned(),
                    retry_after: Duration::from_millis(5),
                }),
                Some(Fault::AnswerLost) => {
                    self.0.apply(body);
                    Err(ProposeError::Unknown)
                }
                Some(Fault::RequestLost) => Err(ProposeError::Unknown),
                Some(Fault::Slow(by)) => {
                    tokio::time::sleep(by).await;
                    Ok(self.0.apply(body))
                }
                None => Ok(self.0.apply(body)),
            }
        })
    }
}

impl Link for Shared {
    fn tell(&self, node: NodeId, envelope: Envelope) -> Result<(), LinkError> {
        let host = self
            .0
            .hosts
            .lock()
            .unwrap()
            .get(&node)
            .cloned()
            .ok_or(LinkError::Unreachable)?;
        host.deliver(envelope).map_err(|_| LinkError::Overloaded)
    }
}

impl Blobs for Shared {
    fn put(&self, blobs: Vec<(Digest, Arc<[u8]>)>) -> BoxFuture<'_, Result<(), BlobError>> {
        Box::pin(async move {
            if self.0.store_full.load(Ordering::SeqCst) {
                return Err(BlobError("the disk is full".to_owned()));
            }
            for (digest, bytes) in &blobs {
                assert_eq!(
                    *digest,
                    Digest::of(bytes),
                    "readings are kept under the digest of their bytes"
                );
            }
            self.0.blobs.lock().unwrap().extend(blobs);
            Ok(())
        })
    }
}

impl Clock for Shared {
    fn now(&self) -> Timestamp {
        assert!(
            !self.0.clock_panics.swap(false, Ordering::SeqCst),
            "the clock was told to panic"
        );
        self.0.now()
    }
}

impl Quorum for Shared {
    fn has_quorum(&self) -> bool {
        *self.0.quorum.borrow()
    }
    fn changes(&self) -> watch::Receiver<bool> {
        self.0.quorum.subscribe()
    }
}

impl ReadingDecoder for Shared {
    fn decode(&self, body: &[u8]) -> Result<Reading, String> {
        self.0
            .readings
            .lock()
            .unwrap()
            .get(body)
            .cloned()
            .ok_or_else(|| "not a reading".to_owned())
    }
}

/// A node of the test cluster.
pub(super) struct Node {
    pub(super) id: NodeId,
    pub(super) boot: BootId,
    pub(super) host: Host,
    view: Arc<View>,
}

impl Node {
    /// The node hears nothing of the ledger any more, as if it were paused or cut off.
    pub(super) fn freeze(&self) {
        *self.view.frozen.lock().unwrap() = Some(self.view.port.ledger());
    }

    pub(super) fn thaw(&self) {
        *self.view.frozen.lock().unwrap() = None;
        self.view.changes.send_modify(|n| *n += 1);
    }

    pub(super) fn runs(&self, key: &ActorKey) -> bool {
        self.host.running().iter().any(|(running, _)| running == key)
    }
}

impl Port {
    pub(super) fn new() -> Arc<Self> {
        let _ = tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .with_test_writer()
            .try_init();
        let port = Arc::new(Self {
            ledger: Mutex::new(Arc::new(Ledger::new())),
            log: Mutex::new(Vec::new()),
            faults: Mutex::new(VecDeque::new()),
            quorum: watch::channel(true).0,
            blobs: Mutex::new(BTreeMap::new()),
            store_full: AtomicBool::new(false),
            clock_panics: AtomicBool::new(false),
            views: Mutex::new(Vec::new()),
            hosts: Mutex::new(BTreeMap::new()),
            readings: Mutex::new(HashMap::new()),
            next: AtomicU64::new(1),
            started: Instant::now(),
        });
        let found = ClusterCommand::Found {
            cluster: ClusterId([7; 16]),
            policy: Policy::first(),
        };
        port.must(CommandBody::Cluster(found));
        port
    }

    /// The port's clock runs at ten times the cluster's.
    pub(super) fn now(&self) -> Timestamp {
        let real = u64::try_from(self.started.elapsed().as_millis()).unwrap();
        Timestamp(1_700_000_000_000 + 10 * real)
    }

    pub(super) fn ledger(&self) -> Arc<Ledger> {
        Arc::clone(&self.ledger.lock().unwrap())
    }

    pub(super) fn apply(&self, body: CommandBody) -> Outcome {
        let command = Command {
            at: self.now(),
            traceparent: String::new(),
            body,
        };
        let outcome = {
            let mut current = self.ledger.lock().unwrap();
            let mut ledger = Ledger::clone(&current);
            let application = ledger.apply(command);
            *current = Arc::new(ledger);
            let outcome = application.outcome.clone();
            self.log.lock().unwrap().extend(application.into_entries());
            outcome
        };
        for view in self.views.lock().unwrap().iter() {
            if view.frozen.lock().unwrap().is_none() {
                view.changes.send_modify(|n| *n += 1);
            }
        }
        outcome
    }

    pub(super) fn must(&self, body: CommandBody) {
        let outcome = self.apply(body);
        assert_eq!(outcome.refusal(), None);
    }

    pub(super) fn external(&self, body: ExternalBody) {
        let no = self.next.fetch_add(1, Ordering::Relaxed);
        self.must(CommandBody::External(ExternalCommand {
            source: SourceId::new("test").unwrap(),
            request: RequestId::new(format!("r{no}")).unwrap(),
            principal: Principal::new("tester").unwrap(),
            body,
        }));
    }

    pub(super) async fn node(self: &Arc<Self>, id: u64) -> Node {
        self.process(id, 1000 + id).await
    }

    pub(super) async fn process(self: &Arc<Self>, id: u64, boot: u64) -> Node {
        self.process_with(id, boot, None).await
    }

    /// A process whose replica has not caught up with what happened since.
    pub(super) async fn process_behind(self: &Arc<Self>, id: u64, boot: u64) -> Node {
        self.process_with(id, boot, Some(self.ledger())).await
    }

    async fn process_with(self: &Arc<Self>, id: u64, boot: u64, frozen: Option<Arc<Ledger>>) -> Node {
        let identity = Identity {
            node: NodeId(id),
            boot: BootId(boot),
        };
        let view = Arc::new(View {
            port: Arc::clone(self),
            frozen: Mutex::new(frozen),
            changes: watch::channel(0).0,
        });
        self.views.lock().unwrap().push(Arc::clone(&view));
        let shared = Arc::new(Shared(Arc::clone(self)));
        let ports = Ports {
            proposer: shared.clone(),
            ledger: view.clone(),
            link: shared.clone(),
            blobs: shared.clone(),
            clock: shared.clone(),
            quorum: shared.clone(),
            decoder: shared,
        };
        let host = Host::start(HostConfig::new(identity), ports).await.unwrap();
        self.hosts.lock().unwrap().insert(identity.node, host.clone());
        Node {
            id: identity.node,
            boot: identity.boot,
            host,
            view,
        }
    }

    /// A node that leads and carries everything.
    pub(super) async fn one_node(self: &Arc<Self>) -> Node {
        let node = self.node(1).await;
        node.host.leader_changed(Some(1));
        node
    }

    pub(super) fn place(&self, key: ActorKey, node: &Node) {
        let expect = self
            .ledger()
            .placement(&key)
            .map_or(portcullis_domain::id::Epoch::NONE, |p| p.epoch);
        self.must(CommandBody::Cluster(ClusterCommand::Place {
            key,
            expect,
            node: node.id,
            boot: node.boot,
        }));
    }

    pub(super) fn announce(&self, equipment: &str) -> InspectionNo {
        self.announce_in(equipment, None)
    }

    pub(super) fn announce_in(&self, equipment: &str, ready_at: Option<Timestamp>) -> InspectionNo {
        let equipment = EquipmentId::new(equipment).unwrap();
        let goods = GoodsItem {
            sequence: 1,
            commodity_code: "94036000".to_owned(),
            description: "wooden furniture".to_owned(),
            gross_mass_g: Some(14_000_000),
            origin: "SE".to_owned(),
            ..GoodsItem::default()
        };
        let manifest = Manifest {
            goods: vec![goods],
            gross_mass_g: Some(14_000_000),
            tare_mass_g: Some(3_800_000),
            size_type: "45G1".to_owned(),
            seals: vec!["S1".to_owned()],
            ..Manifest::default()
        };
        self.external(ExternalBody::Announce(Announcement {
            equipment: equipment.clone(),
            terminal: terminal(),
            ready_at,
            due_at: None,
            priority: 0,
            manifest,
            findings: Vec::new(),
        }));
        self.ledger().open_inspection(&equipment).unwrap().no
    }

    pub(super) fn case(&self, no: InspectionNo) -> Arc<Inspection> {
        Arc::clone(self.ledger().inspection(no).unwrap())
    }

    /// Names of the events about an inspection, in order.
    pub(super) fn story(&self, no: InspectionNo) -> Vec<&'static str> {
        let log = self.log.lock().unwrap();
        log.iter()
            .filter(|entry| entry.leaf().event.subjects().inspections.contains(&no))
            .map(|entry| entry.leaf().event.kind())
            .collect()
    }

    pub(super) fn events(&self, wanted: impl Fn(&Event) -> bool) -> usize {
        self.log
            .lock()
            .unwrap()
            .iter()
            .filter(|entry| wanted(&entry.leaf().event))
            .count()
    }

    /// Waits until something holds; time runs only while nobody has anything to do.
    pub(super) async fn until(&self, what: &str, holds: impl Fn(&Ledger) -> bool) {
        for _ in 0..60_000 {
            if holds(&self.ledger()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let story: Vec<_> = self.log.lock().unwrap().iter().map(|e| e.leaf().event.kind()).collect();
        panic!("never happened: {what}; log: {story:?}");
    }

    pub(super) async fn until_concluded(&self, no: InspectionNo) {
        self.until("the conclusion", |ledger| {
            ledger.inspection(no).unwrap().conclusion.is_some()
        })
        .await;
    }

    pub(super) async fn until_placed(&self, key: &ActorKey) {
        self.until("the placement", |ledger| {
            ledger.placement(key).is_some_and(|placement| placement.live)
        })
        .await;
        let home = *self.ledger().placement(key).unwrap();
        for _ in 0..1000 {
            let running = self.hosts.lock().unwrap().get(&home.node).unwrap().running();
            if running.contains(&(key.clone(), home.epoch)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{key} was placed on {} and does not run there", home.node);
    }

    fn host_of(&self, lane: LaneId) -> Option<Host> {
        let ledger = self.ledger();
        let placement = ledger
            .placement(&ActorKey::Lane(lane))
            .filter(|placement| placement.live)?;
        self.hosts.lock().unwrap().get(&placement.node).cloned()
    }
}

pub(super) fn terminal() -> TerminalId {
    TerminalId::new("north").unwrap()
}

fn key_of(device: &str) -> SigningKey {
    SigningKey::from_bytes(&Digest::of(device.as_bytes()).0)
}

pub(super) fn device_spec(id: &str, kind: DeviceKind) -> DeviceSpec {
    DeviceSpec {
        id: DeviceId::new(id).unwrap(),
        kind,
        public_key: key_of(id).verifying_key().to_bytes(),
    }
}

/// A lane with portal, scale, camera and controller.
pub(super) fn full_lane(id: LaneId) -> LaneSpec {
    let device = |name: &str, kind| device_spec(&format!("{name}-{}", id.0), kind);
    LaneSpec {
        id,
        terminal: terminal(),
        devices: vec![
            device("portal", DeviceKind::Sensor(Modality::Radiation)),
            device("scale", DeviceKind::Sensor(Modality::Weighbridge)),
            device("camera", DeviceKind::Sensor(Modality::Ocr)),
            device("controller", DeviceKind::Controller),
        ],
        nodes: Vec::new(),
        usual_pass_s: 60,
        scheduled: true,
    }
}

/// A device as a test sees it.
pub(super) struct Device {
    port: Arc<Port>,
    pub(super) id: DeviceId,
    lane: LaneId,
    boot: u64,
    pub(super) sequence: u64,
    key: SigningKey,
    pub(super) incoming: mpsc::Receiver<ToDevice>,
    gate: Option<DevicePort>,
}

impl Device {
    pub(super) async fn attach(port: &Arc<Port>, lane: LaneId, name: &str) -> Self {
        let mut device = Self {
            port: Arc::clone(port),
            id: DeviceId::new(name).unwrap(),
            lane,
            boot: 1,
            sequence: 0,
            key: key_of(name),
            incoming: mpsc::channel(1).1,
            gate: None,
        };
        device.attach_again().await;
        device
    }

    pub(super) async fn attach_again(&mut self) {
        self.gate = None;
        for _ in 0..60_000 {
            let (outgoing, incoming) = mpsc::channel(64);
            let attachment = Attachment {
                lane: self.lane,
                device: self.id.clone(),
                boot: self.boot,
                outgoing,
            };
            if let Some(host) = self.port.host_of(self.lane)
                && let Ok(gate) = host.attach(attachment)
            {
                self.incoming = incoming;
                self.gate = Some(gate);
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{} could not attach", self.id);
    }

    pub(super) fn leave(&mut self) {
        self.gate = None;
    }

    pub(super) async fn say(&self, message: FromDevice) {
        if let Some(gate) = &self.gate {
            let _ = gate.deliver(message, String::new()).await;
        }
    }

    pub(super) fn header(&mut self, inspection: Option<InspectionNo>, sample: u32) -> ReadingHeader {
        self.sequence += 1;
        ReadingHeader {
            device: self.id.clone(),
            boot: self.boot,
            sequence: self.sequence,
            captured_at: self.port.now(),
            inspection,
            equipment: None,
            sample: SampleNo(sample),
        }
    }

    pub(super) fn sign(&self, header: ReadingHeader, content: ReadingContent) -> SignedReading {
        let body = self.port.next.fetch_add(1, Ordering::Relaxed).to_be_bytes().to_vec();
        self.port
            .readings
            .lock()
            .unwrap()
            .insert(body.clone(), Reading { header, content });
        let mut reading = SignedReading {
            body,
            signature: Vec::new(),
        };
        reading.signature = self.key.sign(&reading.digest().0).to_bytes().to_vec();
        reading
    }

    pub(super) async fn measure(&mut self, inspection: Option<InspectionNo>, sample: u32, content: ReadingContent) {
        let header = self.header(inspection, sample);
        let reading = self.sign(header, content);
        self.say(FromDevice::Reading(reading)).await;
    }

    pub(super) async fn arrive(&self, equipment: &EquipmentId) {
        self.say(FromDevice::Arrived {
            equipment: equipment.clone(),
        })
        .await;
    }

    /// The next message for which `pick` gives something.
    pub(super) async fn expect<T>(&mut self, what: &str, pick: impl Fn(&ToDevice) -> Option<T>) -> T {
        let wait = tokio::time::timeout(Duration::from_secs(600), async {
            loop {
                match self.incoming.recv().await {
                    Some(message) => {
                        if let Some(found) = pick(&message) {
                            return Some(found);
                        }
                    }
                    None => return None,
                }
            }
        });
        match wait.await {
            Ok(Some(found)) => found,
            Ok(None) => panic!("{}: given up before {what}", self.id),
            Err(_) => panic!("{}: never got {what}", self.id),
        }
    }

    pub(super) async fn expect_start(&mut self) -> (InspectionNo, PassNo) {
        self.expect("start", |message| match message {
            ToDevice::Start { inspection, pass, .. } => Some((*inspection, *pass)),
            _ => None,
        })
        .await
    }

    pub(super) async fn expect_refusal(&mut self) -> String {
        self.expect("a refusal", |message| match message {
            ToDevice::Refused { reason, .. } => Some(reason.clone()),
            _ => None,
        })
        .await
    }

    pub(super) async fn expect_barrier(&mut self) -> ToDevice {
        self.expect("a barrier order", |message| match message {
            ToDevice::Barrier { .. } => Some(message.clone()),
            _ => None,
        })
        .await
    }
}

/// Counts of a quiet portal.
pub(super) fn quiet(gamma: u64) -> RadiationSample {
    counted(gamma, 1)
}

/// Containers with this owner code send gamma rays and neutrons.
pub(super) const HOT_OWNER: &str = "HOTU";

fn counted(gamma: u64, neutrons: u64) -> RadiationSample {
    let detector = |name: &str, kind, counts| DetectorCounts {
        name: name.to_owned(),
        kind,
        live_time_us: 250_000,
        counts,
        spectrum: None,
    };
    RadiationSample {
        real_time_us: 250_000,
        detectors: vec![
            detector("g", RadiationKind::Gamma, gamma),
            detector("n", RadiationKind::Neutron, neutrons),
        ],
    }
}

pub(super) fn weighing() -> ReadingContent {
    ReadingContent::Weighing(Weighing {
        gross_mass_kg: 14_000 + 3_800 + 15_000,
        vehicle_mass_kg: Some(15_000),
        sigma_kg: Some(50),
        speed_mm_s: 1_000,
        axles_kg: Vec::new(),
    })
}

pub(super) fn number(text: &str) -> ReadingContent {
    let candidates = vec![Candidate {
        text: text.to_owned(),
        confidence_permille: 980,
    }];
    ReadingContent::Recognition(Recognition { candidates, seal: None })
}

/// How many samples a portal of the tests takes if nobody stops it.
pub(super) const SAMPLES: u32 = 60;

/// A sensor that does its work for as long as the test lasts, attaching again whenever it is given up.
pub(super) fn sensor(mut device: Device, modality: Modality) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            match device.incoming.recv().await {
                None => device.attach_again().await,
                Some(ToDevice::Start {
                    inspection,
                    pass,
                    equipment,
                    ..
                }) => {
                    work(&mut device, modality, inspection, pass, &equipment).await;
                }
                Some(_) => {}
            }
        }
    })
}

async fn work(
    device: &mut Device,
    modality: Modality,
    inspection: InspectionNo,
    pass: PassNo,
    equipment: &EquipmentId,
) {
    match modality {
        Modality::Radiation => {
            for _ in 0..4 {
                device
                    .measure(None, 0, ReadingContent::RadiationBackground(quiet(500)))
                    .await;
            }
            for sample in 1..=SAMPLES {
                tokio::time::sleep(Duration::from_millis(25)).await;
                match device.incoming.try_recv() {
                    Ok(ToDevice::Stop { .. }) | Err(mpsc::error::TryRecvError::Disconnected) => break,
                    _ => {}
                }
                let hot = equipment.as_str().starts_with(HOT_OWNER);
                let counts = if hot {
                    counted(5_000, 80)
                } else {
                    quiet(480 + u64::from(sample * 7 % 13))
                };
                let content = ReadingContent::Radiation(counts);
                device.measure(Some(inspection), sample, content).await;
            }
        }
        Modality::Weighbridge => device.measure(Some(inspection), 1, weighing()).await,
        _ => device.measure(Some(inspection), 1, number(equipment.as_str())).await,
    }
    device.say(FromDevice::PassEnded { inspection, pass }).await;
}

/// A controller whose trucks come half a second after they are called up; tells what the barrier is ordered.
pub(super) fn controller(mut device: Device) -> mpsc::UnboundedReceiver<ToDevice> {
    let (orders, seen) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            match device.incoming.recv().await {
                None => device.attach_again().await,
                Some(ToDevice::CallUp { equipment, .. }) => {
                    tokio::time::sleep(Duration::from_millis(500)).await;
                    device.arrive(&equipment).await;
                }
                Some(order @ ToDevice::Barrier { .. }) => {
                    let _ = orders.send(order);
                }
                Some(_) => {}
            }
        }
    });
    seen
}

/// All devices of a lane at work; gives the barrier orders.
pub(super) async fn equip(port: &Arc<Port>, lane: LaneId) -> mpsc::UnboundedReceiver<ToDevice> {
    for (name, modality) in [
        ("portal", Modality::Radiation),
        ("scale", Modality::Weighbridge),
        ("camera", Modality::Ocr),
    ] {
        sensor(
            Device::attach(port, lane, &format!("{name}-{}", lane.0)).await,
            modality,
        );
    }
    controller(Device::attach(port, lane, &format!("controller-{}", lane.0)).await)
}
