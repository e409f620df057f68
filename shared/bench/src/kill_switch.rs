//! The kill switch of the campaign: it counts the requests of a process to its ports, and kills the process at one of
//! them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// A service that a process uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    /// The stores of both sites.
    S3,
    Kms,
    /// The server, from the process itself and from the client programs that it starts.
    Postgres,
}

pub const PORTS: [Port; 3] = [Port::S3, Port::Kms, Port::Postgres];

/// When a process dies at a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KillMoment {
    /// The request does not reach the service.
    Before,
    /// The service has carried out the request, but the answer does not reach the process.
    Unanswered,
    /// The process has the answer, but none of its later requests reaches a service.
    After,
}

pub const MOMENTS: [KillMoment; 3] = [KillMoment::Before, KillMoment::Unanswered, KillMoment::After];

/// Where a process dies: at its `number`-th request to this port, from 1.
#[derive(Debug, Clone, Copy)]
pub struct KillPoint {
    pub port: Port,
    pub number: u64,
    pub moment: KillMoment,
}

/// The course of a request that was let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Course {
    Answered,
    /// Its answer is withheld, and the process ends.
    Unanswered,
    /// It is the last request that is answered.
    Last,
}

/// Counts the requests of one process at all of its ports. Clones are the same switch.
#[derive(Clone)]
pub struct KillSwitch {
    state: Arc<Mutex<State>>,
    dead: Arc<watch::Sender<bool>>,
    kill: Arc<dyn Fn() + Send + Sync>,
}

struct State {
    point: Option<KillPoint>,
    counts: [u64; 3],
    /// The answer after which the process dies has been given.
    answered: bool,
}

impl KillSwitch {
    /// Kills at `point`, or never. After that, no request passes a port, and the test ends the task.
    pub fn new(point: Option<KillPoint>) -> Self {
        Self::with(point, || ())
    }

    /// Kills at `point`, or never, by calling `kill`. This happens before the connections are closed: a process that outlived them
    /// could still act.
    pub fn with(point: Option<KillPoint>, kill: impl Fn() + Send + Sync + 'static) -> Self {
        let state = State { point, counts: [0; 3], answered: false };
        Self { state: Arc::new(Mutex::new(state)), dead: Arc::new(watch::Sender::new(false)), kill: Arc::new(kill) }
    }

    /// Counts a request and decides what happens to it. Does not return to a dead process, whose task is dropped here.
    pub async fn request(&self, port: Port) -> Course {
        let course = self.course(port);
        match course {
            Some(course) => course,
            None => std::future::pending().await,
        }
    }

    fn course(&self, port: Port) -> Option<Course> {
        let mut state = self.lock();
        if self.is_dead() {
            return None;
        }
        if state.answered {
            self.kill();
            return None;
        }
        let count = &mut state.counts[port as usize];
        *count += 1;
        let number = *count;
        match state.point {
            Some(point) if point.port == port && point.number == number => match point.moment {
                KillMoment::Before => {
                    self.kill();
                    None
                }
                KillMoment::Unanswered => Some(Course::Unanswered),
                KillMoment::After => Some(Course::Last),
            },
            _ => Some(Course::Answered),
        }
    }

    /// Must be called after a request was carried out and before its answer is passed on. Does not return to a dead process.
    pub async fn carried_out(&self, course: Course) {
        if course == Course::Unanswered {
            self.kill();
        }
        if self.is_dead() {
            std::future::pending::<()>().await;
        }
        if course == Course::Last {
            self.lock().answered = true;
        }
    }

    /// Returns when the process is dead.
    pub async fn death(&self) {
        // The sender lives as long as `self`.
        let _ = self.dead.subscribe().wait_for(|dead| *dead).await;
    }

    pub fn is_dead(&self) -> bool {
        *self.dead.borrow()
    }

    /// Requests to this port so far.
    pub fn count(&self, port: Port) -> u64 {
        self.lock().counts[port as usize]
    }

    fn kill(&self) {
        (self.kill)();
        self.dead.send_replace(true);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
