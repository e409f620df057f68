//! The function `backup`: a schedule's tick becomes one request per database; a request becomes a backup.

mod handler;
mod request;

use lifeboat_model::Act;
use lifeboat_runtime::serve;

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    serve(Act::Backup, handler::handle).await
}
