//! Who may ask how much, and who may come in.
//!
//! [`admission`] decides about connections before they cost anything, and [`Limits`]
//! about hellos and requests. Whoever is over a limit is refused and told when to come
//! back; nothing is remembered of whom that grows with how many they are.

pub mod admission;
mod clock;
pub mod config;
mod cost;
pub mod door;
mod meter;
mod network;
mod quota;
mod rate;
mod table;
#[cfg(test)]
mod tests;
mod users;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use causeway_protocol::client::request::Body;
use causeway_protocol::{ApiError, ErrorCode, UserId, WorkspaceId};

pub use self::config::LimitsConfig;
use self::cost::PARTS;
pub use self::meter::Meter;
pub use self::quota::Quota;
use self::rate::Keyed;
pub use self::rate::Rate;
use self::users::Users;

/// Addresses, users and workspaces whose use is remembered, of each as many.
const REMEMBERED_MAX: usize = 65_536;
/// When a user with too many sessions may try again.
const SEAT_RETRY: Duration = Duration::from_secs(5);

/// What was refused, by limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Requests on one connection.
    Connection,
    /// Requests of one user.
    User,
    /// Requests of one workspace.
    Workspace,
    /// Hellos of one user.
    Hellos,
    /// Sessions of one user.
    Sessions,
}

impl Limit {
    /// All, in the order of [`Counters`].
    pub const ALL: [Self; 5] = [
        Self::Connection,
        Self::User,
        Self::Workspace,
        Self::Hellos,
        Self::Sessions,
    ];

    /// Its name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::User => "user",
            Self::Workspace => "workspace",
            Self::Hellos => "hellos",
            Self::Sessions => "sessions",
        }
    }

    fn what(self) -> &'static str {
        match self {
            Self::Connection => "requests on this connection",
            Self::User => "requests of this user",
            Self::Workspace => "requests of this workspace",
            Self::Hellos => "hellos of this user",
            Self::Sessions => "sessions of this user",
        }
    }
}

/// Refusals so far.
#[derive(Debug, Default)]
pub struct Counters {
    limited: [AtomicU64; Limit::ALL.len()],
    /// Connections closed as they did not stop asking.
    pub flooding: AtomicU64,
}

impl Counters {
    /// How often a limit has refused something.
    pub fn limited(&self, limit: Limit) -> u64 {
        self.limited[limit as usize].load(Ordering::Relaxed)
    }
}

/// A request that is not carried out.
#[derive(Debug)]
pub struct Refused {
    /// The answer.
    pub error: ApiError,
    /// The connection is to be closed: it has been refused far too often.
    pub flooding: bool,
}

/// The limits of hellos and requests; clones share them.
#[derive(Debug, Clone)]
pub struct Limits(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: LimitsConfig,
    by_user: Keyed<UserId>,
    by_workspace: Keyed<WorkspaceId>,
    hellos: Keyed<UserId>,
    users: Users,
    counters: Counters,
}

impl Default for Limits {
    fn default() -> Self {
        Self::new(LimitsConfig::default())
    }
}

impl Limits {
    /// With nothing used yet.
    pub fn new(config: LimitsConfig) -> Self {
        Self(Arc::new(Inner {
            by_user: Keyed::new(config.requests_per_user, PARTS, REMEMBERED_MAX),
            by_workspace: Keyed::new(config.requests_per_workspace, PARTS, REMEMBERED_MAX),
            hellos: Keyed::new(config.hellos_per_user, 1, REMEMBERED_MAX),
            users: Users::new(config.sessions_per_user),
            counters: Counters::default(),
            config,
        }))
    }

    /// What was refused.
    pub fn counters(&self) -> &Counters {
        &self.0.counters
    }

    /// The meter of a new connection.
    pub fn meter(&self) -> Meter {
        Meter::new(self.0.config.requests_per_connection)
    }

    /// A user whose token is good says hello.
    ///
    /// # Errors
    /// [`ErrorCode::Ratelimited`].
    pub fn hello(&self, user: UserId) -> Result<Quota, ApiError> {
        let one = NonZeroU32::MIN;
        let said = self.0.hellos.take(&user, one);
        said.map_err(|wait| self.refuse(Limit::Hellos, wait))?;
        match self.0.users.seat(user) {
            Some(seat) => Ok(Quota::new(self.meter(), seat)),
            None => Err(self.refuse(Limit::Sessions, SEAT_RETRY)),
        }
    }

    /// A session asks for something.
    ///
    /// # Errors
    /// [`Refused`], with [`ErrorCode::Ratelimited`].
    pub fn request(&self, quota: &Quota, user: UserId, body: Option<&Body>) -> Result<(), Refused> {
        self.connection(&quota.meter, body)?;
        self.user(&quota.meter, user, body)
    }

    /// A connection asks for something, whoever is behind it.
    ///
    /// # Errors
    /// [`Refused`], with [`ErrorCode::Ratelimited`].
    pub fn connection(&self, meter: &Meter, body: Option<&Body>) -> Result<(), Refused> {
        let taken = meter.take(cost::parts(body));
        taken.map_err(|wait| self.refuse_request(meter, Limit::Connection, wait))
    }

    /// A user asks for something, on a connection that may.
    ///
    /// # Errors
    /// [`Refused`], with [`ErrorCode::Ratelimited`].
    pub fn user(&self, meter: &Meter, user: UserId, body: Option<&Body>) -> Result<(), Refused> {
        let parts = cost::parts(body);
        let refuse = |limit, wait| self.refuse_request(meter, limit, wait);
        let (by_user, by_workspace) = (&self.0.by_user, &self.0.by_workspace);
        let taken = by_user.take(&user, parts);
        taken.map_err(|wait| refuse(Limit::User, wait))?;
        let taken = by_workspace.take(&user.workspace(), parts);
        taken.map_err(|wait| refuse(Limit::Workspace, wait))
    }

    fn refuse_request(&self, meter: &Meter, limit: Limit, wait: Duration) -> Refused {
        let flooding = meter.floods();
        if flooding {
            self.0.counters.flooding.fetch_add(1, Ordering::Relaxed);
        }
        Refused {
            error: self.refuse(limit, wait),
            flooding,
        }
    }

    fn refuse(&self, limit: Limit, wait: Duration) -> ApiError {
        self.0.counters.limited[limit as usize].fetch_add(1, Ordering::Relaxed);
        let text = format!("too many {}", limit.what());
        ApiError {
            retry_after_ms: whole_ms(wait),
            ..ApiError::new(ErrorCode::Ratelimited, text)
        }
    }
}

/// Rounded up: whoever comes back then has waited for long enough.
fn whole_ms(wait: Duration) -> u32 {
    let ms = wait.as_micros().div_ceil(1_000).max(1);
    u32::try_from(ms).unwrap_or(u32::MAX)
}
