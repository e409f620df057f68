//! The local cloud: an AWS emulator with the project's templates and the real function binaries deployed on it. The demo and
//! the tests use it on one machine, without an AWS account.
//!
//! It owns the emulator's process, its pinned Python environment, the deployment, and the list of the emulator's differences
//! from AWS. It is for development only: no code that runs in AWS may use it, and it must not know what a backup is.

mod cloud;
mod data_template;
mod debian;
mod emulator;
mod event_tap;
mod fast_s3;
mod function_url;
mod functions;
mod gaps;
mod inbox;
mod installation;
mod invocation;
mod layer;
mod lint;
mod plain_http;
mod pooler;
mod process_group;
mod request;
mod server;
mod stack;
mod stage;
mod template;
mod venv;
mod workspace;

pub use cloud::{
    ACCOUNT, Cloud, CloudOptions, DeployedFunction, DeployedSite, Deployment, OFFSITE_REGION, PRIMARY_REGION,
};
pub use debian::install;
pub use emulator::Emulator;
pub use event_tap::{EventTap, TappedEvent};
pub use fast_s3::FastS3;
pub use function_url::UrlAnswer;
pub use functions::Functions;
pub use gaps::deployable;
pub use inbox::{AlertInbox, ReceivedAlert};
pub use installation::{Installation, SUPPORTED_MAJORS};
pub use invocation::Invocation;
pub use layer::ClientLayer;
pub use lint::{TEMPLATES, lint, lint_templates};
pub use pooler::{PoolMode, Pooler};
pub use process_group::ProcessGroup;
pub use server::{PostgresOptions, PostgresServer};
pub use stack::Stack;
pub use stage::{DATABASE, SCRATCH_SECRET, SOURCE_SECRET, Stage, StageSource};
pub use template::{Parameters, Resource, Template};
pub use venv::{EMULATOR, LINT, PROMETHEUS, Requirements, STOCK, Venv};
pub use workspace::{root, target_dir};
