//! Request bodies that are encoded once: what differs from one to the next has a fixed width and is written over.

use bytes::Bytes;
use portcullis_domain::equipment::Iso6346;
use portcullis_proto::v1 as pb;
use prost::Message;

use super::etcd::pb::PutRequest;

/// Bytes of what one write carries: the encoded manifest of an announcement, the value of a put.
pub(super) const PAYLOAD: usize = 256;
/// Stands for a container id of ISO 6346. No other part of a body has such letters.
const CONTAINER: &str = "@@@@@@@@@@@";
/// Stands for a number in decimal digits.
const NUMBER: &str = "############";
/// Serial numbers to one owner's code.
const SERIALS: u64 = 1_000_000;
/// Owner's codes: three letters.
const OWNERS: u64 = 26 * 26 * 26;

/// Whose containers and requests these are: drawn at random, so that two runs against one cluster do not meet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Series(u32);

impl Series {
    /// A series of its own.
    pub(super) fn random() -> Self {
        Self(rand::random())
    }

    /// The name under which the requests are sent.
    pub(super) fn source(self) -> String {
        format!("bench-{:08x}", self.0)
    }

    /// The container of the request of this number, with its check digit; different for the first 17 thousand million.
    pub(super) fn container(self, number: u64) -> [u8; CONTAINER.len()] {
        let mut id = *b"AAAU0000000";
        let mut owner = (u64::from(self.0) + number / SERIALS) % OWNERS;
        for letter in id[..3].iter_mut().rev() {
            *letter += u8::try_from(owner % 26).unwrap_or_default();
            owner /= 26;
        }
        write_digits(&mut id[4..10], number % SERIALS);
        if let Ok(text) = std::str::from_utf8(&id[..10])
            && let Iso6346::Number { expected, .. } = Iso6346::of(text)
        {
            id[10] += expected;
        }
        id
    }

    /// An announcement with a manifest of 256 bytes.
    pub(super) fn announce(self) -> pb::AnnounceRequest {
        pb::AnnounceRequest {
            context: Some(pb::RequestContext {
                source: self.source(),
                request_id: NUMBER.to_owned(),
                principal: "bench".to_owned(),
            }),
            announcement: Some(pb::Announcement {
                equipment_id: CONTAINER.to_owned(),
                terminal: "T1".to_owned(),
                manifest: Some(manifest()),
                ..pb::Announcement::default()
            }),
        }
    }

    /// The request id of the request of this number.
    pub(super) fn request_id(number: u64) -> String {
        format!("{number:0width$}", width = NUMBER.len())
    }

    /// A put of 256 bytes under a key of its own.
    pub(super) fn put(self) -> PutRequest {
        PutRequest {
            key: self.key(NUMBER).into(),
            value: vec![b'v'; PAYLOAD].into(),
        }
    }

    /// The key of a put.
    pub(super) fn key(self, number: &str) -> String {
        format!("{}/{number}", self.source())
    }
}

/// A manifest whose encoding has exactly [`PAYLOAD`] bytes.
fn manifest() -> pb::Manifest {
    let mut manifest = pb::Manifest {
        document: Some(pb::Document {
            sha256: vec![7; 32].into(),
            format: "wco-dm/3.6".to_owned(),
            reference: Some("26BE00000000000001".to_owned()),
        }),
        goods: vec![pb::GoodsItem {
            sequence: 1,
            commodity_code: "847130".to_owned(),
            gross_mass_g: Some(18_250_000),
            packages: Some(1200),
            origin: "BE".to_owned(),
            ..pb::GoodsItem::default()
        }],
        gross_mass_g: Some(21_950_000),
        tare_mass_g: Some(3_700_000),
        size_type: "45G1".to_owned(),
        dispatch_country: "BE".to_owned(),
        ..pb::Manifest::default()
    };
    while manifest.encoded_len() < PAYLOAD {
        manifest.goods[0].description.push('x');
    }
    manifest
}

/// An encoded message with the places to write over.
#[derive(Debug, Clone)]
pub(super) struct Template {
    bytes: Vec<u8>,
    numbers: Vec<usize>,
    containers: Vec<usize>,
    series: Series,
}

impl Template {
    /// The message in bytes.
    pub(super) fn new(message: &impl Message, series: Series) -> Self {
        let bytes = message.encode_to_vec();
        Self {
            numbers: places(&bytes, NUMBER),
            containers: places(&bytes, CONTAINER),
            bytes,
            series,
        }
    }

    /// Writes the message of this number to the end of `to`.
    pub(super) fn append(&self, number: u64, to: &mut Vec<u8>) {
        let start = to.len();
        to.extend_from_slice(&self.bytes);
        for at in &self.numbers {
            write_digits(&mut to[start + at..start + at + NUMBER.len()], number);
        }
        for at in &self.containers {
            to[start + at..start + at + CONTAINER.len()].copy_from_slice(&self.series.container(number));
        }
    }

    /// The message of this number.
    pub(super) fn body(&self, number: u64) -> Bytes {
        let mut body = Vec::with_capacity(self.bytes.len());
        self.append(number, &mut body);
        body.into()
    }

    /// Bytes of each message.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }
}

fn places(bytes: &[u8], mark: &str) -> Vec<usize> {
    bytes
        .windows(mark.len())
        .enumerate()
        .filter(|(_, window)| *window == mark.as_bytes())
        .map(|(at, _)| at)
        .collect()
}

fn write_digits(to: &mut [u8], mut number: u64) {
    for digit in to.iter_mut().rev() {
        *digit = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use portcullis_domain::equipment::EquipmentId;

    use super::*;

    #[test]
    fn every_request_is_one_of_its_own_about_a_proper_container() {
        let series = Series(17_575);
        let template = Template::new(&series.announce(), series);
        let mut seen = BTreeSet::new();
        for number in [0, 1, 9, 10, 999_999, 1_000_000, 1_000_001, 123_456_789] {
            let request = pb::AnnounceRequest::decode(template.body(number)).unwrap();
            let announcement = request.announcement.unwrap();
            let container = EquipmentId::new(&announcement.equipment_id).unwrap();
            assert_eq!(container.findings(), [], "{container}");
            assert_eq!(request.context.unwrap().request_id, Series::request_id(number));
            assert!(seen.insert(container), "{number}");
        }
    }

    #[test]
    fn both_systems_are_given_256_bytes() {
        let series = Series::random();
        assert_eq!(manifest().encoded_len(), PAYLOAD);
        let put = PutRequest::decode(Template::new(&series.put(), series).body(42)).unwrap();
        assert_eq!(put.value.len(), PAYLOAD);
        assert_eq!(put.key, series.key(&Series::request_id(42)));
    }

    #[test]
    fn a_batch_is_its_messages_one_after_the_other() {
        let series = Series(0);
        let template = Template::new(&series.put(), series);
        let mut both = Vec::new();
        template.append(1, &mut both);
        template.append(2, &mut both);
        assert_eq!(both, [template.body(1), template.body(2)].concat());
        assert_eq!(both.len(), 2 * template.len());
    }
}
