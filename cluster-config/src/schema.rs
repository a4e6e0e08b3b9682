//! Every key there is: its type, range, default and reason. Checks, suggestions and `REFERENCE.md` all come from here.

/// A table of the file.
#[derive(Debug)]
pub(crate) struct Table {
    /// Its path without list positions, such as `lanes.devices`; empty for the file itself.
    pub(crate) path: &'static str,
    /// What it is about.
    pub(crate) about: &'static str,
    /// Its keys.
    pub(crate) keys: &'static [Key],
}

/// A key of a table.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) preset: Preset,
    /// What it means, and why its default is what it is.
    pub(crate) about: &'static str,
}

/// What a value must be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// Text that is not empty.
    Text,
    /// One of these words.
    Word(&'static [&'static str]),
    /// True or false.
    Bool,
    /// A whole number from the first to the second.
    Integer(i64, i64),
    /// A number above 0, at most this.
    Factor(f64),
    /// A list of whole numbers from 1.
    Numbers,
    /// A list of texts, none of them empty.
    Texts,
    /// A table.
    Table(&'static Table),
    /// A list of tables.
    Tables(&'static Table),
}

/// What holds if nobody sets the key.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Preset {
    /// Somebody must.
    Required,
    /// Nothing; the text says what that means.
    Absent(&'static str),
    /// This, as TOML.
    Value(&'static str),
}

impl Table {
    /// The key of this name.
    pub(crate) fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// How the table is announced in a file.
    pub(crate) fn heading(&self) -> String {
        match self.path {
            "" => "the file".to_owned(),
            "cluster.peers" | "lanes" | "lanes.devices" => format!("[[{}]]", self.path),
            path => format!("[{path}]"),
        }
    }

    /// This table and all below it, in the order of the file.
    pub(crate) fn all(&'static self) -> Vec<&'static Self> {
        let below = self.keys.iter().filter_map(|key| match key.kind {
            Kind::Table(table) | Kind::Tables(table) => Some(table),
            _ => None,
        });
        std::iter::once(self).chain(below.flat_map(Self::all)).collect()
    }

    /// The path of one of its keys.
    pub(crate) fn path_of(&self, name: &str) -> String {
        join(self.path, name)
    }
}

impl Kind {
    /// What is expected, for messages and the reference.
    pub(crate) fn expected(self) -> String {
        match self {
            Self::Text => "text that is not empty".to_owned(),
            Self::Word(words) => format!("one of {}", quoted(words)),
            Self::Bool => "true or false".to_owned(),
            Self::Integer(min, i64::MAX) => format!("an integer from {min}"),
            Self::Integer(min, max) => format!("an integer from {min} to {max}"),
            Self::Factor(max) => format!("a number above 0 and at most {max}"),
            Self::Numbers => "a list of integers from 1, such as [1, 2]".to_owned(),
            Self::Texts => "a list of texts, such as [\"127.0.0.1:7401\"]".to_owned(),
            Self::Table(_) => "a table".to_owned(),
            Self::Tables(_) => "a list of tables".to_owned(),
        }
    }
}

fn quoted(words: &[&str]) -> String {
    words
        .iter()
        .map(|word| format!("\"{word}\""))
        .collect::<Vec<_>>()
        .join(", ")
}

/// A path and the name below it.
pub(crate) fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

const fn key(name: &'static str, kind: Kind, preset: Preset, about: &'static str) -> Key {
    Key {
        name,
        kind,
        preset,
        about,
    }
}

use Preset::{Absent, Required, Value};

/// An hour is longer than any timer of the cluster should be; a slip of units is found by it.
const TIMER_MAX_MS: i64 = 3_600_000;
/// A queue beyond this is not a limit any more.
const QUEUE_MAX: i64 = 65_536;

/// The whole file.
pub(crate) static FILE: Table = Table {
    path: "",
    about: "",
    keys: &[
        key("cluster", Kind::Table(&CLUSTER), Absent(""), ""),
        key("node", Kind::Table(&NODE), Absent(""), ""),
        key("raft", Kind::Table(&RAFT), Absent(""), ""),
        key("liveness", Kind::Table(&LIVENESS), Absent(""), ""),
        key("limits", Kind::Table(&LIMITS), Absent(""), ""),
        key("clock", Kind::Table(&CLOCK), Absent(""), ""),
        key("log", Kind::Table(&LOG), Absent(""), ""),
        key("lanes", Kind::Tables(&LANES), Absent("no lanes"), ""),
    ],
};

static CLUSTER: Table = Table {
    path: "cluster",
    about: "The cluster that the node belongs to. The same on every node, except for `bootstrap` and `join`.",
    keys: &[
        key(
            "name",
            Kind::Text,
            Value("\"portcullis\""),
            "Shown to people; 1 to 64 letters, digits, `-`, `_` or `.`. It identifies nothing: the id does.",
        ),
        key(
            "id",
            Kind::Text,
            Absent("drawn at random by the node that founds the cluster, learned by the others"),
            "Cluster id, 16 bytes in hex. Setting it makes a node refuse a cluster, or a data directory, of another id.",
        ),
        key(
            "bootstrap",
            Kind::Bool,
            Value("false"),
            "True on exactly one node: it founds the cluster when its data directory is empty, and is a node like any \
             other afterwards. Two founders would make two clusters, so that nobody is one by default.",
        ),
        key(
            "peers",
            Kind::Tables(&PEERS),
            Absent("a cluster of this node alone, at `node.listen`"),
            "The nodes that found the cluster, this one included. From then on the cluster itself knows its members: nodes \
             that join or leave later are not written here.",
        ),
        key(
            "join",
            Kind::Texts,
            Value("[]"),
            "Addresses of nodes of a running cluster that this new node asks to be taken in. One that answers is enough. \
             Leave out `peers` then, and `node.id` too: the cluster grants one. Not used any more once the node belongs to \
             the cluster.",
        ),
    ],
};

static PEERS: Table = Table {
    path: "cluster.peers",
    about: "One for each node of the cluster, this one included. Ids and addresses must not repeat.",
    keys: &[
        key(
            "id",
            Kind::Integer(1, i64::MAX),
            Required,
            "Number of the node. Never give it to another machine later.",
        ),
        key(
            "address",
            Kind::Text,
            Required,
            "Where its gRPC is reached: `host:port`, an IPv6 address in brackets.",
        ),
    ],
};

static NODE: Table = Table {
    path: "node",
    about: "This node.",
    keys: &[
        key(
            "id",
            Kind::Integer(1, i64::MAX),
            Absent("granted by the cluster that the node joins"),
            "Number of this node, one of `cluster.peers`. A node that founds a cluster must have one; one that joins gets \
             a number that no node ever had, unless it names a free one here.",
        ),
        key(
            "data_dir",
            Kind::Text,
            Required,
            "Directory of log, snapshots, decision log and indexes; made if it does not exist. A relative path starts \
             where the node was started. There is no default: a node that finds an empty directory has forgotten its \
             votes.",
        ),
        key(
            "listen",
            Kind::Text,
            Value("\"127.0.0.1:7401\""),
            "IP address and port of gRPC. Only loopback addresses are taken until identities and mutual TLS exist.",
        ),
        key(
            "capacity",
            Kind::Integer(0, 10_000),
            Value("100"),
            "How much this node carries, relative to the others: one of 200 gets twice the actors of one of 100, one \
             of 0 gets none and only votes.",
        ),
    ],
};

static RAFT: Table = Table {
    path: "raft",
    about: "Agreement between the nodes. The same on every node. Real time, whatever the speed of the port's clock.",
    keys: &[
        key(
            "heartbeat_ms",
            Kind::Integer(10, 10_000),
            Value("30"),
            "The leader shows itself this often, milliseconds. 30 suits machines of their own on one local network; 100 \
             leaves room for machines that are shared with other work.",
        ),
        key(
            "election_min_ms",
            Kind::Integer(20, 60_000),
            Value("100"),
            "Once the lease of a silent leader has run out, a node waits at least this long before it calls an election, \
             milliseconds. More than twice `heartbeat_ms`, so that one lost heartbeat is no election. 400 on shared machines.",
        ),
        key(
            "election_max_ms",
            Kind::Integer(20, 60_000),
            Value("150"),
            "And at most this long, milliseconds: each node draws its moment in between. Also the lease of a leader: for this \
             time after its last sign nobody elects another. Above `election_min_ms`; the wider, the rarer two candidates \
             split the votes; the shorter, the faster a dead leader is replaced: with 100 and 150 after about 0.3 s, with 400 \
             and 600 (shared machines) after about 1.1 s.",
        ),
        key(
            "snapshot_every",
            Kind::Integer(10, 100_000_000),
            Value("10000"),
            "Log entries between snapshots: about what a node applies again after a restart. Beside a busy log a snapshot \
             waits for a lull, until ten times as many. The busiest port writes 10,000 in a quarter of an hour.",
        ),
    ],
};

static LIVENESS: Table = Table {
    path: "liveness",
    about: "When a node counts as gone, for the work it carries. The same on every node. Real time. These timers only \
            decide how soon work moves; that a node which lost its work cannot act is guaranteed by epochs.",
    keys: &[
        key(
            "beat_ms",
            Kind::Integer(10, TIMER_MAX_MS),
            Value("250"),
            "A node reports its load this often, milliseconds.",
        ),
        key(
            "suspect_ms",
            Kind::Integer(20, TIMER_MAX_MS),
            Value("1000"),
            "After this silence a node gets no new work, milliseconds. At least twice `beat_ms`; 1000 is four missed \
             reports.",
        ),
        key(
            "down_ms",
            Kind::Integer(30, TIMER_MAX_MS),
            Value("3000"),
            "After this silence its actors are placed elsewhere, milliseconds. Above `suspect_ms` and `suspend_ms`. A \
             pass that breaks off is driven again, so that haste costs more than it brings: 3000 outlasts an election \
             and a short stall.",
        ),
        key(
            "suspend_ms",
            Kind::Integer(30, TIMER_MAX_MS),
            Value("2000"),
            "A node without a quorum for this long suspends its actors, milliseconds. Above `raft.election_max_ms`, so \
             that an ordinary election suspends nobody, and below `down_ms`, so that the old owner has usually stopped \
             before the new one begins.",
        ),
    ],
};

static LIMITS: Table = Table {
    path: "limits",
    about: "Everything that waits is bounded. Whoever meets a limit is told so and may try again.",
    keys: &[
        key(
            "message_bytes",
            Kind::Integer(65_536, 67_108_864),
            Value("4194304"),
            "Largest gRPC message, bytes. 4 MiB is gRPC's usual limit, so that clients of any language agree.",
        ),
        key(
            "call_ms",
            Kind::Integer(10, 600_000),
            Value("10000"),
            "Longest time of a call whose client set no deadline or a later one, milliseconds. 10 s outlasts the loss \
             of a leader several times over.",
        ),
        key(
            "stream_idle_ms",
            Kind::Integer(100, TIMER_MAX_MS),
            Value("30000"),
            "A stream on which nothing came for this long is closed, milliseconds. Devices and followers beat more \
             often than this.",
        ),
        key(
            "proposals",
            Kind::Integer(1, QUEUE_MAX),
            Value("1024"),
            "Commands that wait for their outcome at once. Beyond it callers are told to wait: a longer queue would only make each of them wait longer.",
        ),
        key(
            "mailbox",
            Kind::Integer(1, QUEUE_MAX),
            Value("256"),
            "Messages that wait for one actor. More than a whole pass has steps of evidence (240), so that a full mailbox means an actor that is stuck.",
        ),
        key(
            "watchers",
            Kind::Integer(1, QUEUE_MAX),
            Value("256"),
            "Clients that follow events on this node. Each holds a position and a buffer; 256 consoles and systems are \
             a large port.",
        ),
        key(
            "attached_devices",
            Kind::Integer(1, QUEUE_MAX),
            Value("1024"),
            "Devices attached to this node: 32 lanes of 32 devices, should all of them come to one node.",
        ),
    ],
};

static CLOCK: Table = Table {
    path: "clock",
    about: "The port's clock, for a port that is simulated: port time = `origin_ms` + (real time - `epoch_ms`) x \
            `speed`. The same on every node. Leave it out for a real port: port time is then real time.",
    keys: &[
        key(
            "origin_ms",
            Kind::Integer(0, i64::MAX),
            Absent("port time is real time"),
            "What the port's clock showed at `epoch_ms`, milliseconds since 1970. Set both or neither.",
        ),
        key(
            "epoch_ms",
            Kind::Integer(0, i64::MAX),
            Absent("port time is real time"),
            "Real time when it showed that, milliseconds since 1970.",
        ),
        key(
            "speed",
            Kind::Factor(10_000.0),
            Value("1.0"),
            "Port seconds that pass in a real second. Other than 1 needs `origin_ms` and `epoch_ms`, or the port would \
             live centuries away.",
        ),
    ],
};

static LOG: Table = Table {
    path: "log",
    about: "What the node writes about itself, to stderr. Not the decision log.",
    keys: &[
        key(
            "format",
            Kind::Word(&["text", "json"]),
            Value("\"text\""),
            "Text for people, json for collectors.",
        ),
        key(
            "filter",
            Kind::Text,
            Value("\"info\""),
            "What is written: a level, or targets with levels such as `info,portcullis_consensus=debug`. At info a \
             container is a handful of lines.",
        ),
    ],
};

static LANES: Table = Table {
    path: "lanes",
    about: "The screening lanes, one table each. The same on every node.",
    keys: &[
        key(
            "id",
            Kind::Integer(1, 4_294_967_295),
            Required,
            "Number of the lane, once in the cluster.",
        ),
        key(
            "terminal",
            Kind::Text,
            Required,
            "The terminal it stands in: 1 to 64 visible ASCII characters. Each terminal has a scheduler of its own.",
        ),
        key(
            "nodes",
            Kind::Numbers,
            Value("[]"),
            "Nodes wired to its hardware, preferred as its home. Any node will do if empty, and if none of them is up.",
        ),
        key(
            "usual_pass_s",
            Kind::Integer(1, 86_400),
            Value("120"),
            "How long a pass usually takes, seconds of the port's clock. The scheduler's first guess.",
        ),
        key(
            "scheduled",
            Kind::Bool,
            Value("true"),
            "Containers are called up to it. False for a lane that only takes what stands before it.",
        ),
        key(
            "devices",
            Kind::Tables(&DEVICES),
            Absent("a lane without devices of its own"),
            "Its detectors and its controller, at most 32.",
        ),
    ],
};

/// The words for a device's kind: the controller, and every modality that a device can measure.
pub(crate) const DEVICE_KINDS: &[&str] = &[
    "controller",
    "radiography",
    "radiation",
    "magnetometer",
    "nqr",
    "trace",
    "weighbridge",
    "ocr",
];

static DEVICES: Table = Table {
    path: "lanes.devices",
    about: "The devices of the lane before it, one table each.",
    keys: &[
        key(
            "id",
            Kind::Text,
            Required,
            "What the device calls itself: 1 to 64 visible ASCII characters, once in the cluster.",
        ),
        key(
            "kind",
            Kind::Word(DEVICE_KINDS),
            Required,
            "What it measures, or `controller` for what shows the call-up, reports the truck and moves the barrier.",
        ),
        key(
            "public_key",
            Kind::Text,
            Required,
            "Its Ed25519 public key, 32 bytes in hex. Readings that it does not verify are refused.",
        ),
    ],
};

#[cfg(test)]
mod tests {
    use portcullis_domain::evidence::Modality;

    use super::*;

    #[test]
    fn a_device_may_be_a_controller_or_measure_anything_but_the_manifest() {
        let words: Vec<_> = std::iter::once("controller")
            .chain(
                Modality::ALL
                    .into_iter()
                    .filter(|m| *m != Modality::Manifest)
                    .map(Modality::as_str),
            )
            .collect();
        assert_eq!(DEVICE_KINDS, words);
    }

    #[test]
    fn every_key_says_what_it_is_and_can_be_written_as_a_variable() {
        for table in FILE.all().into_iter().skip(1) {
            assert!(table.about.ends_with('.'), "{}", table.path);
            for key in table.keys {
                assert!(key.about.ends_with('.'), "{}.{}", table.path, key.name);
                assert!(
                    key.name.chars().all(|c| c.is_ascii_lowercase() || c == '_'),
                    "{}",
                    key.name
                );
                // Two underscores part the levels of a variable's name.
                assert!(!key.name.contains("__") && !key.name.starts_with('_') && !key.name.ends_with('_'));
            }
        }
    }
}
