//! The function `verify`: after a backup its new objects, by schedule what is due of all objects, on request anything.

mod handler;
mod request;

use lifeboat_model::Act;
use lifeboat_runtime::serve;

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    serve(Act::Verify, handler::handle).await
}
