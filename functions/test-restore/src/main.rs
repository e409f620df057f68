//! The function `test-restore`: the drill. Restores a backup and proves it equal, by schedule, after an event, on request.

mod handler;
mod request;

use lifeboat_model::Act;
use lifeboat_runtime::serve;

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    serve(Act::TestRestore, handler::handle).await
}
