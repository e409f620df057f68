//! The Lambda side of a function URL: one request in, one answer out.

use std::future::Future;
use std::sync::Arc;

use aws_lambda_events::http::{HeaderMap, HeaderValue, header};
use aws_lambda_events::lambda_function_urls::{LambdaFunctionUrlRequest, LambdaFunctionUrlResponse};
use lambda_runtime::{LambdaEvent, service_fn};
use tracing::Instrument;

use crate::serve::{deadline, start};
use crate::services::{Call, Services};

/// A request: its method and path, without query and body. Everyone who may call the URL may ask for every path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpRequest {
    /// `GET`.
    pub method: String,
    /// `/api/health`.
    pub path: String,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpAnswer {
    /// As in HTTP.
    pub status: u16,
    /// As in `Content-Type`.
    pub content_type: &'static str,
    /// As in `Content-Security-Policy`.
    pub content_policy: &'static str,
    /// The whole of it.
    pub body: String,
}

/// The content security policy of an answer that is not a page: a browser may do nothing with it.
const NO_CONTENT: &str = "default-src 'none'";

impl HttpAnswer {
    /// A text or document that is not a page.
    pub fn new(status: u16, content_type: &'static str, body: impl Into<String>) -> Self {
        Self { status, content_type, content_policy: NO_CONTENT, body: body.into() }
    }
}

/// Runs `handle` for every request to the function's URL, for as long as the process lives.
///
/// # Errors
/// Wrong settings, or a Lambda runtime that cannot be reached.
pub async fn serve_http<H, F>(function: &'static str, handle: H) -> Result<(), lambda_runtime::Error>
where
    H: Fn(HttpRequest, Call, Arc<Services>) -> F,
    F: Future<Output = HttpAnswer>,
{
    let services = start(function).await?;
    let handle = &handle;
    lambda_runtime::run(service_fn(move |event: LambdaEvent<LambdaFunctionUrlRequest>| {
        let services = Arc::clone(&services);
        async move {
            let call = Call { id: event.context.request_id.clone(), deadline: deadline(&event.context) };
            let span = tracing::info_span!("request", function, run_id = %call.id);
            let request = read(event.payload);
            let answer = Box::pin(handle(request, call, services)).instrument(span).await;
            Ok::<_, std::convert::Infallible>(write(answer))
        }
    }))
    .await
}

fn read(request: LambdaFunctionUrlRequest) -> HttpRequest {
    HttpRequest {
        method: request.request_context.http.method.unwrap_or_default(),
        path: request.raw_path.unwrap_or_default(),
    }
}

fn write(answer: HttpAnswer) -> LambdaFunctionUrlResponse {
    let HttpAnswer { status, content_type, content_policy, body } = answer;
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CONTENT_SECURITY_POLICY, content_policy),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    let allow = (status == 405).then_some((header::ALLOW, "GET, HEAD"));
    let headers: HeaderMap =
        headers.into_iter().chain(allow).map(|(name, value)| (name, HeaderValue::from_static(value))).collect();
    let mut response = LambdaFunctionUrlResponse::default();
    response.status_code = i64::from(status);
    response.headers = headers;
    response.body = Some(body);
    response
}
