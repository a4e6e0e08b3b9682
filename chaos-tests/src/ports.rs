//! Free ports on loopback that stay free until they are used.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Mutex, PoisonError};

/// Below the ports that systems give to outgoing connections, so that none of those takes a node's port while the node is
/// down.
const RANGE: std::ops::Range<u16> = 12_000..30_000;

static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// A port that nobody listens on, and that nobody else in this process gets.
pub fn free_port() -> SocketAddr {
    loop {
        let port = rand::random_range(RANGE);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let given = || GIVEN.lock().unwrap_or_else(PoisonError::into_inner).insert(port);
        if TcpListener::bind(address).is_ok() && given() {
            return address;
        }
    }
}
