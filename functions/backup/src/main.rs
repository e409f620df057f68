//! The function `backup`: a schedule's tick becomes one request per database; a request becomes a backup.

mod handler;
mod request;

use lifeboat_runtime::serve;

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    serve("backup", handler::handle).await
}
