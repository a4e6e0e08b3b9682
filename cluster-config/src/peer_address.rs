//! Where a peer is reached: `host:port`, checked but not resolved, since names may move while a node runs.

use std::fmt;
use std::net::{Ipv6Addr, SocketAddr};
use std::str::FromStr;

use portcullis_domain::id::InvalidId;

/// A host name or IP address and a port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerAddress {
    host: String,
    port: u16,
}

impl PeerAddress {
    /// A name, an IPv4 address, or an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, never 0.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl From<SocketAddr> for PeerAddress {
    fn from(address: SocketAddr) -> Self {
        let host = match address {
            SocketAddr::V4(v4) => v4.ip().to_string(),
            SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
        };
        Self {
            host,
            port: address.port(),
        }
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl FromStr for PeerAddress {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let bad = |why: &str| InvalidId {
            what: "address",
            value: text.chars().take(40).collect(),
            why: why.to_owned(),
        };
        if text.contains("://") {
            return Err(bad("expected host:port without a scheme, such as 127.0.0.1:7401"));
        }
        let (host, port) = text
            .rsplit_once(':')
            .ok_or_else(|| bad("expected host:port, such as 127.0.0.1:7401"))?;
        let port = match port.parse() {
            Ok(0) | Err(_) => return Err(bad("the port is not a number from 1 to 65535")),
            Ok(port) => port,
        };
        let named = || !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c));
        let bracketed = || {
            let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
            inner.is_some_and(|inner| inner.parse::<Ipv6Addr>().is_ok())
        };
        if named() || bracketed() {
            Ok(Self {
                host: host.to_owned(),
                port,
            })
        } else {
            Err(bad(
                "the host is neither a name, nor an IPv4 address, nor an IPv6 address in brackets",
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_prints_what_it_was_read_from() {
        for text in ["127.0.0.1:7401", "[::1]:7401", "node-1.port.example:1"] {
            assert_eq!(text.parse::<PeerAddress>().unwrap().to_string(), text);
        }
        let socket: SocketAddr = "[::1]:7401".parse().unwrap();
        assert_eq!(PeerAddress::from(socket).to_string(), "[::1]:7401");
    }

    #[test]
    fn what_cannot_be_dialled_is_refused() {
        for text in [
            "",
            "a",
            ":1",
            "a:",
            "a:0",
            "a:65536",
            "http://a:1",
            "::1:7401",
            "[::g]:1",
            "a b:1",
            "a/b:1",
        ] {
            assert!(text.parse::<PeerAddress>().is_err(), "{text:?}");
        }
    }
}
