//! One HTTP request to a server of this machine.

use anyhow::{Context, Result};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// The longest answer that is read, in bytes: Lambda's limit.
const ANSWER_LIMIT_BYTES: usize = 6 * 1024 * 1024;

/// Sends a request without a body to `address` (`host:port`) over a new connection, and reads the whole answer.
///
/// # Errors
/// The server is unreachable, does not speak HTTP, or sends a longer answer than Lambda may.
pub(crate) async fn send(address: &str, request: Request<Empty<Bytes>>) -> Result<Response<Bytes>> {
    let stream = TcpStream::connect(address).await.with_context(|| format!("cannot reach `{address}`"))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // The task ends when the answer has been read. Its failures fail the request as well.
    tokio::spawn(connection);
    let answer = sender.send_request(request).await.with_context(|| format!("`{address}` did not answer"))?;
    let (head, body) = answer.into_parts();
    let body = Limited::new(body, ANSWER_LIMIT_BYTES).collect().await;
    let body = body.map_err(|error| anyhow::anyhow!("cannot read the answer of `{address}`: {error}"))?;
    Ok(Response::from_parts(head, body.to_bytes()))
}
