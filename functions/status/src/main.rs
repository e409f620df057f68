//! The function `status`, behind a function URL: the state as a page, as JSON, and for Prometheus. It writes nothing and has no key.

mod pages;

use std::sync::Arc;

use lifeboat_engine::{HealthRequest, status};
use lifeboat_model::Mandate;
use lifeboat_runtime::{Call, HttpAnswer, HttpRequest, Services, serve_http};

use pages::Page;

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    serve_http("status", handle).await
}

async fn handle(request: HttpRequest, call: Call, services: Arc<Services>) -> HttpAnswer {
    let page = match Page::of(&request) {
        Ok(page) => page,
        Err(refusal) => return refusal,
    };
    let mandate = Mandate { actor: "nobody".to_owned(), reason: "a look".to_owned() };
    let run = services.run(call, None, &mandate).await;
    let databases = services.settings.databases.iter().map(|database| database.name.clone());
    let asked = HealthRequest { databases: databases.collect(), drills: services.settings.drills };
    page.answer(&status(&run, &asked).await)
}
