//! gRPC as the load uses it: the same client for every system, with messages that were encoded beforehand.

use bytes::{Buf, BufMut, Bytes};
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status, Streaming};

/// Takes messages as bytes and gives them as bytes: who drives a load encodes once and reads only what it checks.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.reserve(message.len());
        to.put(message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

/// One HTTP/2 connection, made when it is first used.
pub(super) fn connect(address: &str) -> anyhow::Result<Channel> {
    Ok(
        Endpoint::from_shared(format!("http://{}", address.trim_start_matches("http://")))?
            .connect_timeout(std::time::Duration::from_millis(500))
            .tcp_nodelay(true)
            .initial_stream_window_size(8 << 20)
            .initial_connection_window_size(32 << 20)
            .connect_lazy(),
    )
}

/// Calls a method and returns its answer's bytes.
pub(super) async fn unary(client: &mut Grpc<Channel>, path: PathAndQuery, body: Bytes) -> Result<Bytes, Status> {
    ready(client).await?;
    Ok(client.unary(Request::new(body), path, Raw).await?.into_inner())
}

/// Opens a stream both ways.
pub(super) async fn stream(
    client: &mut Grpc<Channel>,
    path: PathAndQuery,
    requests: impl futures::Stream<Item = Bytes> + Send + 'static,
) -> Result<Streaming<Bytes>, Status> {
    ready(client).await?;
    Ok(client.streaming(Request::new(requests), path, Raw).await?.into_inner())
}

async fn ready(client: &mut Grpc<Channel>) -> Result<(), Status> {
    client
        .ready()
        .await
        .map_err(|error| Status::unavailable(format!("no connection: {error}")))
}
