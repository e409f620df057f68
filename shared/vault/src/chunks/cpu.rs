//! Work for the processor, out of the way of the network.

use tokio::runtime::{Handle, RuntimeFlavor};

/// Runs `work`, which may take tens of milliseconds, without holding up what else this thread would drive.
///
/// `block_in_place` hands the thread's other tasks over for some microseconds and lets the work borrow its buffers;
/// `spawn_blocking` would have to own them, which means a copy or a fresh allocation of some MiB (page faults) per chunk. On a
/// single-threaded runtime there is nobody to hand over to, and the work simply runs.
pub(crate) fn on_cpu<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}
