//! A request to a function's URL. The emulator knows a function by the name of the host that is asked, which no name server does.

use std::time::SystemTime;

use anyhow::{Context, Result, anyhow};
use aws_sdk_s3::config::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longest answer that is read, in bytes: Lambda's own limit for one.
const ANSWER_LIMIT_BYTES: u64 = 6 * 1024 * 1024;

/// What a function's URL answered.
#[derive(Debug, Clone)]
pub struct UrlAnswer {
    /// As in HTTP.
    pub status: u16,
    /// The headers as they came, a line each.
    pub head: String,
    /// The whole of it.
    pub body: String,
}

/// Asks for `path` of a function's `url`, which the emulator at `endpoint` serves, signed as `signer` where there is one.
///
/// # Errors
/// A server that cannot be reached, or does not speak HTTP.
pub async fn ask(
    endpoint: &str,
    url: &str,
    method: &str,
    path: &str,
    signer: Option<(&Credentials, &str)>,
) -> Result<UrlAnswer> {
    let address = endpoint.trim_start_matches("http://").trim_end_matches('/');
    let host = url.split("://").last().unwrap_or(url).split('/').next().unwrap_or_default();
    let mut stream = TcpStream::connect(address).await.with_context(|| format!("cannot reach `{endpoint}`"))?;
    // HTTP/1.0: the answer ends with the connection.
    let signed = match signer {
        Some((credentials, region)) => signature(credentials, region, method, &format!("http://{host}{path}"))?,
        None => String::new(),
    };
    let request = format!("{method} {path} HTTP/1.0\r\nHost: {host}\r\n{signed}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_LIMIT_BYTES).read_to_end(&mut answer).await?;
    let text = String::from_utf8(answer).context("the answer is no text")?;
    let (head, body) = text.split_once("\r\n\r\n").with_context(|| format!("this is no HTTP: {text}"))?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.with_context(|| format!("this is no HTTP: {head}"))?;
    Ok(UrlAnswer { status, head: head.to_owned(), body: body.to_owned() })
}

/// The headers of a request that is signed for Lambda, a line each.
fn signature(credentials: &Credentials, region: &str, method: &str, url: &str) -> Result<String> {
    let identity = credentials.clone().into();
    let parameters = SigningParams::builder().identity(&identity).region(region).name("lambda");
    let parameters = parameters.time(SystemTime::now()).settings(SigningSettings::default()).build()?.into();
    let request = SignableRequest::new(method, url, std::iter::empty(), SignableBody::Bytes(&[]))?;
    let signed = sign(request, &parameters).map_err(|error| anyhow!("cannot sign a request: {error}"))?;
    let (headers, _) = signed.into_parts().0.into_parts();
    Ok(headers.iter().map(|header| format!("{}: {}\r\n", header.name(), header.value())).collect())
}
