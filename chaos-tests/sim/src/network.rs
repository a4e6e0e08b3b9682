//! The simulated network under tonic: the connector and the listener of a machine, with a meter on each pair of machines.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _};
use hyper_util::rt::TokioIo;
use portcullis::platform::{Connection, Listen};
use portcullis_consensus::{Connector, tuned};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::{Endpoint, Uri};
use turmoil::net::{TcpListener, TcpStream};

/// What went from one machine to another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Meter {
    /// Bytes given to the network, on connections that the first machine made.
    pub(crate) sent: u64,
    /// Bytes that came out at the other end of these connections.
    pub(crate) received: u64,
    /// Connections that were refused or not answered.
    pub(crate) refused: u64,
}

/// The meters of a network.
#[derive(Debug, Clone, Default)]
pub(crate) struct Meters {
    pairs: Arc<Mutex<BTreeMap<(String, String), Meter>>>,
}

impl Meters {
    /// What went from one machine to another.
    pub(crate) fn of(&self, from: &str, to: &str) -> Meter {
        let pairs = self.pairs.lock().unwrap_or_else(PoisonError::into_inner);
        pairs
            .get(&(from.to_owned(), to.to_owned()))
            .copied()
            .unwrap_or_default()
    }

    /// Sum over all pairs.
    pub(crate) fn total(&self) -> Meter {
        let pairs = self.pairs.lock().unwrap_or_else(PoisonError::into_inner);
        pairs.values().fold(Meter::default(), |sum, meter| Meter {
            sent: sum.sent + meter.sent,
            received: sum.received + meter.received,
            refused: sum.refused + meter.refused,
        })
    }

    fn add(&self, from: &str, to: &str, add: impl FnOnce(&mut Meter)) {
        let mut pairs = self.pairs.lock().unwrap_or_else(PoisonError::into_inner);
        // Names are few and short; a pair that is there is found without making new ones only by a linear scan.
        add(pairs.entry((from.to_owned(), to.to_owned())).or_default());
    }
}

/// A stream of the simulated network.
struct Metered {
    stream: TcpStream,
    pair: Arc<(String, String)>,
    meters: Meters,
    /// Is this the side that made the connection?
    made: bool,
}

impl AsyncRead for Metered {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        let read = (buf.filled().len() - before) as u64;
        if read > 0 && !self.made {
            self.meters
                .add(&self.pair.0, &self.pair.1, |meter| meter.received += read);
        }
        polled
    }
}

impl AsyncWrite for Metered {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        if let Poll::Ready(Ok(written)) = polled
            && self.made
        {
            self.meters
                .add(&self.pair.0, &self.pair.1, |meter| meter.sent += written as u64);
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Makes connections from a machine.
pub(crate) fn connector(from: &str, meters: &Meters) -> Connector {
    let (from, meters) = (from.to_owned(), meters.clone());
    Arc::new(move |address| {
        let (from, meters) = (from.clone(), meters.clone());
        let endpoint = Endpoint::from_shared(format!("http://{address}"));
        let endpoint = endpoint.unwrap_or_else(|_| Endpoint::from_static("http://nowhere:1"));
        tuned(endpoint).connect_with_connector_lazy(tower::service_fn(move |uri: Uri| {
            connect(from.clone(), uri, meters.clone())
        }))
    })
}

async fn connect(from: String, uri: Uri, meters: Meters) -> io::Result<TokioIo<Metered>> {
    let host = uri.host().unwrap_or_default();
    let port = uri.port_u16().unwrap_or(0);
    let name = host
        .parse()
        .ok()
        .and_then(turmoil::reverse_lookup)
        .unwrap_or_else(|| host.to_owned());
    // The network never gives up by itself.
    let connecting = tokio::time::timeout(Duration::from_millis(500), TcpStream::connect((host, port)));
    let stream = connecting
        .await
        .map_err(|_| io::ErrorKind::TimedOut.into())
        .and_then(|made| made);
    match stream {
        Ok(stream) => Ok(TokioIo::new(Metered {
            stream,
            pair: Arc::new((from, name)),
            meters,
            made: true,
        })),
        Err(error) => {
            meters.add(&from, &name, |meter| meter.refused += 1);
            Err(error)
        }
    }
}

/// Takes connections to a machine.
pub(crate) fn listen(to: &str, meters: &Meters) -> Listen {
    let (to, meters) = (to.to_owned(), meters.clone());
    Arc::new(move |address| {
        let (to, meters) = (to.clone(), meters.clone());
        async move {
            // The simulated network binds to all addresses of a host or to loopback only.
            let listener = TcpListener::bind(("0.0.0.0", address.port())).await?;
            let accepting = futures::stream::unfold(listener, move |listener| {
                let (to, meters) = (to.clone(), meters.clone());
                async move {
                    let taken = listener.accept().await.map(|(stream, origin)| {
                        let from = turmoil::reverse_lookup(origin.ip()).unwrap_or_else(|| origin.ip().to_string());
                        Connection::new(Metered {
                            stream,
                            pair: Arc::new((from, to)),
                            meters,
                            made: false,
                        })
                    });
                    Some((taken, listener))
                }
            });
            Ok(accepting.boxed())
        }
        .boxed()
    })
}
