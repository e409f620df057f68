//! The paths of the status and the forms of its answers.

use lifeboat_model::{Standing, Status};
use lifeboat_report::{EXPOSITION_TYPE, PAGE_POLICY, exposition, page};
use lifeboat_runtime::{HttpAnswer, HttpRequest};
use serde::Serialize;

const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

/// A path of the function's URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// `/`
    Whole,
    /// `/api/backups/status`
    Backups,
    /// `/api/health`
    Health,
    /// `/metrics`
    Metrics,
}

impl Page {
    /// The requested page, or the refusal.
    pub fn of(request: &HttpRequest) -> Result<Self, HttpAnswer> {
        let page = match request.path.as_str() {
            "/" | "" => Self::Whole,
            "/api/backups/status" => Self::Backups,
            "/api/health" => Self::Health,
            "/metrics" => Self::Metrics,
            _ => {
                let there = "the paths are `/`, `/api/backups/status`, `/api/health` and `/metrics`\n";
                return Err(HttpAnswer::new(404, TEXT, there));
            }
        };
        match request.method.as_str() {
            "GET" | "HEAD" => Ok(page),
            _ => Err(HttpAnswer::new(405, TEXT, "only GET and HEAD are allowed\n")),
        }
    }

    /// The status in the form of this page.
    pub fn answer(self, status: &Status) -> HttpAnswer {
        match self {
            Self::Whole => match page(status) {
                Ok(page) => HttpAnswer { content_policy: PAGE_POLICY, ..HttpAnswer::new(200, HTML, page) },
                Err(error) => broken(&error),
            },
            Self::Backups => json(200, &status.backups),
            // Monitors ask this often and read only the status code.
            Self::Health if status.health.status >= Standing::Unknown => json(503, &status.health),
            Self::Health => json(200, &status.health),
            Self::Metrics => match exposition(status) {
                Ok(text) => HttpAnswer::new(200, EXPOSITION_TYPE, text),
                Err(error) => broken(&error),
            },
        }
    }
}

fn json<T: Serialize>(status: u16, document: &T) -> HttpAnswer {
    match serde_json::to_string(document) {
        Ok(body) => HttpAnswer::new(status, JSON, body),
        Err(error) => broken(&error),
    }
}

fn broken(error: &dyn std::error::Error) -> HttpAnswer {
    tracing::error!(%error, "the status cannot be written");
    HttpAnswer::new(500, TEXT, "the status cannot be written: this is a defect in Lifeboat\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: &str, path: &str) -> Result<Page, u16> {
        let request = HttpRequest { method: method.to_owned(), path: path.to_owned() };
        Page::of(&request).map_err(|refusal| refusal.status)
    }

    #[test]
    fn four_paths_can_be_read_and_nothing_else_can_be_done() {
        assert_eq!(asked("GET", "/"), Ok(Page::Whole));
        assert_eq!(asked("GET", "/api/backups/status"), Ok(Page::Backups));
        assert_eq!(asked("HEAD", "/api/health"), Ok(Page::Health));
        assert_eq!(asked("GET", "/metrics"), Ok(Page::Metrics));
        assert_eq!(asked("GET", "/metrics/"), Err(404));
        assert_eq!(asked("GET", "/../state/health.json"), Err(404));
        assert_eq!(asked("POST", "/"), Err(405));
    }
}
