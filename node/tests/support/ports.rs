//! Free ports on loopback that stay free until they are used.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Mutex;

/// Below the ports that systems give to outgoing connections, so that none of those takes a node's port while the node is
/// down.
const RANGE: std::ops::Range<u16> = 12_000..30_000;

static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// A port that nobody listens on, and that no other test of this program gets.
pub(crate) fn free_port() -> SocketAddr {
    loop {
        let port = rand::random_range(RANGE);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() && GIVEN.lock().unwrap().insert(port) {
            return address;
        }
    }
}
