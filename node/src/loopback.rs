//! Addresses on loopback for the servers of one machine, and free ports that stay free until they are used.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Mutex, PoisonError};

use anyhow::Context;

/// Where free ports are looked for: below those that systems give to outgoing connections, one of which would otherwise take
/// a server's port before the server does, or while it is down.
const FREE_PORTS: std::ops::Range<u16> = 12_000..30_000;
/// Ports that are tried before it is said that none is free.
const TRIES: usize = 1000;

static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// An address that nobody listens on, and that nobody else in this process gets.
///
/// # Errors
/// So many ports were tried that it must be taken for none being free.
pub fn free_port() -> anyhow::Result<SocketAddr> {
    (0..TRIES)
        .map(|_| SocketAddr::from((Ipv4Addr::LOCALHOST, rand::random_range(FREE_PORTS))))
        .find(|address| {
            TcpListener::bind(address).is_ok()
                && GIVEN
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .insert(address.port())
        })
        .with_context(|| {
            format!(
                "no free port was found on 127.0.0.1 from {} to {}; end what listens there, or choose one with --port",
                FREE_PORTS.start,
                FREE_PORTS.end - 1
            )
        })
}

/// Addresses by server id, from 1. They start at port `first`; 0 takes free ones.
///
/// # Errors
/// A port is taken, or there are not so many.
pub(crate) fn addresses(count: u32, first: u16) -> anyhow::Result<BTreeMap<u64, SocketAddr>> {
    (0..count)
        .map(|index| {
            let address = match first {
                0 => free_port()?,
                first => {
                    let port = first
                        .checked_add(u16::try_from(index)?)
                        .with_context(|| format!("--port: there are no {count} ports from {first} on"))?;
                    unused(port)?
                }
            };
            Ok((u64::from(index) + 1, address))
        })
        .collect()
}

fn unused(port: u16) -> anyhow::Result<SocketAddr> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    match TcpListener::bind(address) {
        Ok(_) => Ok(address),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => Err(anyhow::anyhow!(
            "port {port} on 127.0.0.1 is in use, perhaps by another demo; end it, or choose others with --port (0 takes \
             free ones)"
        )),
        Err(error) => Err(anyhow::Error::new(error).context(format!("--port: cannot listen on {address}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_ports_differ_and_can_be_listened_on() {
        let given = addresses(20, 0).unwrap();
        let different: BTreeSet<_> = given.values().collect();
        assert_eq!(different.len(), 20);
        for address in different {
            assert!(FREE_PORTS.contains(&address.port()), "{address}");
            TcpListener::bind(address).unwrap();
        }
    }

    #[test]
    fn a_port_in_use_is_named_with_a_way_out() {
        let taken = TcpListener::bind(free_port().unwrap()).unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = addresses(1, port).unwrap_err().to_string();
        assert!(error.contains(&port.to_string()) && error.contains("--port"), "{error}");
    }

    #[test]
    fn more_ports_than_there_are_is_an_error() {
        let error = addresses(3, u16::MAX).unwrap_err().to_string();
        assert!(error.contains("--port"), "{error}");
    }
}
