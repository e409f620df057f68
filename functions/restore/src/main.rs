//! The function `restore`: plans a restore into a database that stays, and executes the plan that a person approves.

mod handler;
mod request;

use lifeboat_model::Act;
use lifeboat_runtime::serve;

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    serve(Act::Restore, handler::handle).await
}
