//! A request to a function's URL. The emulator knows a function by its host name, which no name server resolves.

use std::time::SystemTime;

use anyhow::{Context, Result, anyhow};
use aws_sdk_s3::config::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use http_body_util::Empty;
use hyper::Request;
use hyper::header::HOST;

use crate::request;

/// The answer of a function's URL.
#[derive(Debug, Clone)]
pub struct UrlAnswer {
    /// The HTTP status.
    pub status: u16,
    /// One header per line, as `name: value`.
    pub head: String,
    /// The whole body.
    pub body: String,
}

/// Requests `path` of a function's `url` from the emulator at `endpoint`. With a `signer`, the request is signed.
///
/// # Errors
/// The server is unreachable, does not speak HTTP, or answers with bytes that are not text.
pub async fn ask(
    endpoint: &str,
    url: &str,
    method: &str,
    path: &str,
    signer: Option<(&Credentials, &str)>,
) -> Result<UrlAnswer> {
    let address = endpoint.trim_start_matches("http://").trim_end_matches('/');
    let host = url.split("://").last().unwrap_or(url).split('/').next().unwrap_or_default();
    let mut request = Request::builder().method(method).uri(path).header(HOST, host);
    if let Some((credentials, region)) = signer {
        for (name, value) in signature(credentials, region, method, &format!("http://{host}{path}"))? {
            request = request.header(name, value);
        }
    }
    let answer = request::send(address, request.body(Empty::new())?).await?;
    let head = answer.headers().iter().map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap_or("?")));
    let head = head.collect();
    let body = String::from_utf8(answer.body().to_vec()).context("the answer is not text")?;
    Ok(UrlAnswer { status: answer.status().as_u16(), head, body })
}

/// The headers of a request that is signed for Lambda: names and values.
fn signature(credentials: &Credentials, region: &str, method: &str, url: &str) -> Result<Vec<(String, String)>> {
    let identity = credentials.clone().into();
    let parameters = SigningParams::builder().identity(&identity).region(region).name("lambda");
    let parameters = parameters.time(SystemTime::now()).settings(SigningSettings::default()).build()?.into();
    let request = SignableRequest::new(method, url, std::iter::empty(), SignableBody::Bytes(&[]))?;
    let signed = sign(request, &parameters).map_err(|error| anyhow!("cannot sign a request: {error}"))?;
    let (headers, _) = signed.into_parts().0.into_parts();
    Ok(headers.iter().map(|header| (header.name().to_owned(), header.value().to_owned())).collect())
}
