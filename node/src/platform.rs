//! What a node has of the machine it runs on: where it listens, how it reaches others, its disk and its clock. A simulation
//! gives it another machine, and nothing else of a node differs.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt as _, StreamExt as _};
use portcullis_consensus::{Blocking, Connector, Disk, LogSettings, OpenStore, StdDisk, sled_opener, tcp_connector};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::server::Connected;

use crate::clock::{WallClock, unix_ms};

/// Connections as they come in.
pub type Incoming = BoxStream<'static, io::Result<Connection>>;
/// Listens on an address. The address is taken when the future resolves.
pub type Listen = Arc<dyn Fn(SocketAddr) -> BoxFuture<'static, io::Result<Incoming>> + Send + Sync>;

/// The machine under a node.
#[derive(Clone)]
pub struct Platform {
    /// Takes connections.
    pub listen: Listen,
    /// Makes connections to other nodes.
    pub connector: Connector,
    /// Holds everything but the indexes.
    pub disk: Arc<dyn Disk>,
    /// How the Raft log is cut into files.
    pub log: LogSettings,
    /// Opens the store of indexes.
    pub open_store: OpenStore,
    /// Where disk work is done.
    pub blocking: Blocking,
    /// The clock on the wall.
    pub wall: WallClock,
    /// Memory that this process has resident, bytes; 0 where nobody knows.
    pub memory: fn() -> u64,
}

impl Platform {
    /// The machine itself.
    pub fn real() -> Self {
        Self {
            listen: Arc::new(|address| listen(address).boxed()),
            connector: tcp_connector(),
            disk: Arc::new(StdDisk),
            log: LogSettings::default(),
            open_store: sled_opener(),
            blocking: Blocking::Threads,
            wall: Arc::new(unix_ms),
            memory: resident_bytes,
        }
    }
}

impl fmt::Debug for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Platform")
            .field("disk", &self.disk)
            .field("blocking", &self.blocking)
            .finish_non_exhaustive()
    }
}

async fn listen(address: SocketAddr) -> io::Result<Incoming> {
    let connections = TcpListenerStream::new(TcpListener::bind(address).await?);
    let connections = connections.map(|stream| {
        let stream = stream?;
        stream.set_nodelay(true)?;
        Ok(Connection::new(stream))
    });
    Ok(connections.boxed())
}

/// Memory that this process has resident, as the kernel says; 0 where it does not.
fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split_whitespace().nth(1)?.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}

/// Bytes in both directions.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection that was taken, of whatever network.
pub struct Connection(Box<dyn Stream>);

impl Connection {
    /// Of a stream of bytes in both directions.
    pub fn new(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        Self(Box::new(stream))
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connection")
    }
}

impl Connected for Connection {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_shutdown(cx)
    }
}
