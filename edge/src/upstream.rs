//! The way from the edge to the cells: a client's request becomes a call to the
//! leader of its workspace's cell, or to the nearest replica.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway_gossip::{Patience, Repeat, Router};
use causeway_protocol::backbone::{ApiCall, FlannelAnswer, FlannelAsk};
use causeway_protocol::client::{self, request::Body, response};
use causeway_protocol::{ApiError, CellId, ErrorCode, Method, UserId, WorkspaceId};
use futures::future::{BoxFuture, FutureExt};
use parking_lot::{Mutex, RwLock};
use prost::Message;

use crate::flannel::Demand;
use crate::recent::{Asked, Recent};

/// A request that no cell has answered by then is refused as `unavailable`.
const BUDGET: Duration = Duration::from_secs(5);
/// What a client of the native protocol is left waiting for: it asks again by
/// itself, and until then its user is told how things are.
const OF_CLIENTS: Patience = Patience {
    reaching_quorum: BUDGET,
    cut_off: Duration::from_millis(1_500),
};

/// News of the directory reaches every edge node well within this.
const NEWS: Duration = Duration::from_secs(1);

/// Asks the cells on behalf of users whose token has been verified.
pub trait Ask: Send + Sync + 'static {
    /// Has a request of `user` carried out.
    ///
    /// The error is for what did not reach a cell; a cell's refusal is an
    /// answer like any other.
    fn ask(
        &self,
        user: UserId,
        request: client::Request,
    ) -> BoxFuture<'_, Result<client::Response, ApiError>>;
}

/// The cells, by way of the backbone; clones share what they remember.
#[derive(Clone)]
pub struct Upstream {
    router: Router,
    recent: Arc<Mutex<Recent>>,
    /// What clients of this edge node have been told of metadata.
    told: Arc<RwLock<HashMap<WorkspaceId, Bytes>>>,
    calls: Arc<AtomicU64>,
    patience: Patience,
}

impl Upstream {
    /// Over this router.
    pub fn new(router: Router) -> Self {
        Self {
            router,
            recent: Arc::default(),
            told: Arc::default(),
            calls: Arc::default(),
            patience: OF_CLIENTS,
        }
    }

    /// The same for callers who do not ask again by themselves: a cut may heal
    /// while they wait.
    #[must_use]
    pub fn patiently(&self) -> Self {
        Self {
            patience: Patience::whatever_happens(BUDGET),
            ..self.clone()
        }
    }

    /// Clients of this edge node have been told of so much of a workspace's metadata;
    /// empty = nobody is told any more.
    pub fn told(&self, workspace: WorkspaceId, version: &Bytes) {
        let mut told = self.told.write();
        match version.is_empty() {
            true => told.remove(&workspace),
            false => told.insert(workspace, version.clone()),
        };
    }

    /// Calls to core nodes so far; one that is repeated elsewhere counts once.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// The router below.
    pub fn router(&self) -> &Router {
        &self.router
    }

    /// The cell that holds a workspace. Waits a moment for one that the edge has
    /// not heard of yet: whoever has a token of it knows that it exists.
    ///
    /// # Errors
    /// [`ErrorCode::WorkspaceNotFound`], or [`ErrorCode::Unavailable`] while the
    /// directory is not known.
    pub async fn cell_of(&self, workspace: WorkspaceId) -> Result<CellId, ApiError> {
        let mut routes = self.router.routes().watch();
        let known = routes.wait_for(|routes| routes.cell_of(workspace).is_some());
        // Whether it is there is looked up below.
        let _ = tokio::time::timeout(NEWS, known).await;
        let routes = self.router.routes().get();
        match routes.cell_of(workspace) {
            Some(cell) => Ok(cell),
            None if routes.version() == 0 => {
                let text = "this edge node does not know the directory yet";
                Err(ApiError::new(ErrorCode::Unavailable, text))
            }
            None => Err(ErrorCode::WorkspaceNotFound.into()),
        }
    }

    /// The same, of a replica that has this version of metadata; empty = any.
    ///
    /// # Errors
    /// As for [`ask`](Ask::ask).
    pub async fn ask_since(
        &self,
        user: UserId,
        request: client::Request,
        version: &Bytes,
    ) -> Result<client::Response, ApiError> {
        let cell = self.cell_of(user.workspace()).await?;
        self.calls.fetch_add(1, Ordering::Relaxed);
        let asked = Asked::of(&request);
        let way = way(request.body.as_ref());
        let told = self.told.read().get(&user.workspace()).cloned();
        let versions = told.into_iter().chain([version.clone()]);
        let mut call = ApiCall {
            cell: cell.0,
            user: user.0,
            request: Some(request),
            latest: false,
            metadata_versions: versions.filter(|version| !version.is_empty()).collect(),
            ..ApiCall::default()
        };
        self.recent.lock().remind(user, &mut call);
        let response = match way {
            Way::Nearest => self.nearest(cell, call).await?,
            Way::Leader(repeat) => self.leader(cell, &call, repeat, self.patience).await?,
        };
        let mut recent = self.recent.lock();
        recent.answered(user, asked, &response, Instant::now());
        Ok(response)
    }

    /// What a user was answered last; see [`Recent`].
    pub fn seen(&self, user: UserId) -> Demand {
        self.recent.lock().seen(user)
    }

    /// A user was told of something that is at this position of the log.
    pub fn saw(&self, user: UserId, position: u64) {
        self.recent.lock().saw(user, position, Instant::now());
    }

    /// Asks the nearest replica for what this edge node keeps of a workspace.
    ///
    /// # Errors
    /// As for [`ask`](Ask::ask).
    pub async fn flannel(&self, ask: FlannelAsk) -> Result<FlannelAnswer, ApiError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let cell = CellId(ask.cell);
        let body = ask.encode_to_vec().into();
        let asking = (self.router).call_nearest(cell, Method::FlannelPages, body, self.patience);
        let answer = FlannelAnswer::decode(asking.await?);
        answer.map_err(|e| ApiError::new(ErrorCode::InternalError, e.to_string()))
    }

    /// Asks the nearest replica, and the leader where a replica may not know yet
    /// what the client knows from elsewhere.
    async fn nearest(&self, cell: CellId, mut call: ApiCall) -> Result<client::Response, ApiError> {
        let start = Instant::now();
        let body = call.encode_to_vec().into();
        let near = (self.router).call_nearest(cell, Method::Api, body, self.patience);
        match near.await.and_then(read) {
            Ok(response) if !may_be_news(&call, &response) => return Ok(response),
            Err(error) if error.code != ErrorCode::Unavailable => return Err(error),
            _ => {}
        }
        call.latest = true;
        let left = self.patience.after(start.elapsed());
        self.leader(cell, &call, Repeat::Safe, left).await
    }

    async fn leader(
        &self,
        cell: CellId,
        call: &ApiCall,
        repeat: Repeat,
        patience: Patience,
    ) -> Result<client::Response, ApiError> {
        let body = call.encode_to_vec().into();
        let asking = self
            .router
            .call_leader(cell, Method::Api, body, repeat, patience);
        asking.await.and_then(read)
    }
}

impl Ask for Upstream {
    fn ask(
        &self,
        user: UserId,
        request: client::Request,
    ) -> BoxFuture<'_, Result<client::Response, ApiError>> {
        async move { self.ask_since(user, request, &Bytes::new()).await }.boxed()
    }
}

fn read(answer: Bytes) -> Result<client::Response, ApiError> {
    client::Response::decode(answer)
        .map_err(|e| ApiError::new(ErrorCode::InternalError, e.to_string()))
}

/// A replica that is behind does not know what is new; the leader does.
fn may_be_news(call: &ApiCall, response: &client::Response) -> bool {
    const NOT_FOUND: [ErrorCode; 5] = [
        ErrorCode::UserNotFound,
        ErrorCode::WorkspaceNotFound,
        ErrorCode::ChannelNotFound,
        ErrorCode::ThreadNotFound,
        ErrorCode::MessageNotFound,
    ];
    match &response.result {
        Some(response::Result::Error(error)) => {
            NOT_FOUND.iter().any(|code| code.as_str() == error.code)
        }
        // Whoever asks for entries up to one knows that it is there.
        Some(response::Result::Log(page)) => page.last_seq < asked_up_to(call),
        _ => false,
    }
}

fn asked_up_to(call: &ApiCall) -> u64 {
    match call.request.as_ref().and_then(|r| r.body.as_ref()) {
        Some(Body::ReadLog(read)) => read.to_seq,
        _ => 0,
    }
}

/// Who is asked.
enum Way {
    /// The nearest replica: questions, and changes of metadata. Of private channels,
    /// only the leader changes who is in them; the others pass.
    Nearest,
    Leader(Repeat),
}

fn way(body: Option<&Body>) -> Way {
    match body {
        // A second try would find the name taken, by the first.
        Some(Body::CreateChannel(_)) => Way::Leader(Repeat::Unsafe),
        Some(Body::SendMessage(_) | Body::EditMessage(_) | Body::DeleteMessage(_)) => {
            Way::Leader(Repeat::Safe)
        }
        _ => Way::Nearest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_log(to_seq: u64) -> ApiCall {
        let read = client::ReadLog {
            to_seq,
            ..client::ReadLog::default()
        };
        ApiCall {
            request: Some(client::Request {
                body: Some(Body::ReadLog(read)),
                ..client::Request::default()
            }),
            ..ApiCall::default()
        }
    }

    fn log(last_seq: u64) -> client::Response {
        let page = client::LogPage {
            last_seq,
            ..client::LogPage::default()
        };
        client::Response {
            position: 1,
            result: Some(response::Result::Log(page)),
            ..client::Response::default()
        }
    }

    #[test]
    fn a_log_that_ends_too_early_is_read_from_the_leader() {
        assert!(may_be_news(&read_log(8), &log(7)));
        assert!(!may_be_news(&read_log(8), &log(8)));
        assert!(!may_be_news(&read_log(0), &log(7)), "up to the end");
    }
}
