//! Everything that functions and the CLI need before a verb can run: settings, clients, secrets, the deadline, and the form of
//! an error for Lambda.
//!
//! This crate owns the names of environment variables and the wiring of AWS clients. It must never know any verb's logic.

mod error;
mod http;
mod repository_url;
mod serve;
mod services;
mod settings;
mod trigger;

pub use error::{ConnectionOrigin, RuntimeError};
pub use http::{HttpAnswer, HttpRequest, serve_http};
pub use repository_url::{NoRepositoryUrl, RepositoryUrl};
pub use serve::{Input, Invocation, serve};
pub use services::{Call, Services};
pub use settings::{DatabaseSettings, Settings, SiteSettings};
pub use trigger::{TickTime, Trigger, by_event, by_order, by_request, by_schedule, input_error, order, quotable};
