//! What edges and operators ask of a core node.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway_gossip::{Gossip, Member, Patience, Repeat, Router};
use causeway_protocol::backbone::{
    AdminCall, AdminReply, ApiCall, AwayMember, Cell, CellStatus, CreateWorkspace, Drain,
    EnsureChannel, InitWorkspace, IssueToken, NodeStatus, Recounted, SetCounted, admin_call,
    admin_reply,
};
use causeway_protocol::client::{self, response};
use causeway_protocol::token::{Claims, Signer};
use causeway_protocol::{
    ApiError, CellId, ChannelId, ErrorCode, Method, Name, NodeId, UserId, WorkspaceId,
};
use causeway_transport::backbone::{Peer, Services};
use causeway_transport::tls::Role;
use prost::Message;

use crate::cell::{Terms, refusal, validate};
use crate::cells::Cells;
use crate::clock::Clock;
use crate::consensus::Consensus;
use crate::directory::{
    SharedBook, change_cells, check_drain, place_workspace, recount, returning, set_drain,
};
use crate::metadata::Metadata;
use crate::metadata::version::dot_from_bytes;
use crate::metrics::Measures;
use crate::routed;
use crate::state_records::command::Body;

/// An operator's call is answered by then.
const ADMIN_PATIENCE: Patience = Patience::whatever_happens(Duration::from_secs(10));
/// A copy of the directory has what was written by then, unless it is cut off.
const DIRECTORY_PATIENCE: Duration = Duration::from_secs(4);
/// A drain is checked so often while others come first.
const DRAIN_TRIES: u32 = 16;
/// Lifetime of a token that asks for none.
const TOKEN_LIFETIME_S: u64 = 30 * 24 * 3_600;

/// The answering side of a core node; clones share it.
#[derive(Clone)]
pub struct Api(Arc<Parts>);

/// What an [`Api`] answers from.
pub struct Parts {
    /// This node's replicas.
    pub cells: Cells,
    /// Its copy of the directory.
    pub book: SharedBook,
    /// The way to the leaders.
    pub router: Router,
    /// Who is there.
    pub gossip: Gossip,
    /// This node.
    pub me: NodeId,
    /// The metadata of the cells.
    pub metadata: Metadata,
    /// Dates tokens.
    pub clock: Clock,
    /// Signs tokens; `None` on a node that issues none.
    pub signer: Option<Signer>,
    /// What this node measures.
    pub measures: Measures,
}

impl Api {
    /// Answers from these parts.
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// Serves edges, operators, and other core nodes on behalf of operators.
    #[must_use]
    pub fn register(&self, services: Services) -> Services {
        let (api, admin) = (self.clone(), self.clone());
        services
            .call(
                Method::Api,
                &[Role::Edge, Role::Core, Role::Operator],
                move |_, body| {
                    let api = api.clone();
                    async move { api.api_call(body).await }
                },
            )
            .call(
                Method::Admin,
                &[Role::Operator, Role::Core],
                move |peer: Peer, body| {
                    let api = admin.clone();
                    async move {
                        match peer.identity.role {
                            Role::Operator => api.operate(body).await,
                            _ => api.admin_call(body).await,
                        }
                    }
                },
            )
    }

    /// Answers calls of this node's own router.
    pub async fn local(self, method: Method, body: Bytes) -> Result<Bytes, ApiError> {
        match method {
            Method::Api => self.api_call(body).await,
            Method::Admin => self.admin_call(body).await,
            _ => Err(ErrorCode::UnknownMethod.into()),
        }
    }

    async fn api_call(&self, body: Bytes) -> Result<Bytes, ApiError> {
        let call = ApiCall::decode(body).map_err(|e| malformed(&e))?;
        let cell = self.cell(CellId(call.cell))?;
        let request = call.request.unwrap_or_default();
        let terms = Terms {
            latest: call.latest,
            metadata_versions: call.metadata_versions,
            joined: dot_from_bytes(&call.joined_wrote).map(|dot| (ChannelId(call.joined), dot)),
        };
        let began = Instant::now();
        let executed = cell.execute(UserId(call.user), request, terms).await;
        self.0.measures.executed(began.elapsed(), &executed);
        Ok(self.routed(cell.id(), executed.map(|response| response.encode_to_vec())))
    }

    /// A call that this node must carry out itself.
    async fn admin_call(&self, body: Bytes) -> Result<Bytes, ApiError> {
        use admin_call::Body as Call;
        let call = AdminCall::decode(body).map_err(|e| malformed(&e))?;
        match call.body {
            Some(Call::CreateWorkspace(create)) => self.place(create).await,
            Some(Call::InitWorkspace(init)) => {
                let workspace = WorkspaceId(init.workspace);
                self.command(workspace, Body::InitWorkspace(init)).await
            }
            Some(Call::EnsureUser(ensure)) => {
                validate::user(&ensure)?;
                let workspace = WorkspaceId(ensure.workspace);
                self.command(workspace, Body::EnsureUser(ensure)).await
            }
            Some(Call::EnsureChannel(ensure)) => {
                validate::channel(&ensure)?;
                self.ensure_channel(ensure).await
            }
            Some(Call::Drain(drain)) => self.set_drain(drain).await,
            Some(Call::SetCounted(set)) => self.set_counted(&set).await,
            _ => Err(ErrorCode::UnknownMethod.into()),
        }
    }

    /// A call of the operator: carried out here, or wherever it belongs.
    async fn operate(&self, body: Bytes) -> Result<Bytes, ApiError> {
        use admin_call::Body as Call;
        let call = AdminCall::decode(body).map_err(|e| malformed(&e))?;
        let reply = match call.body {
            Some(Call::Status(_)) => admin_reply::Body::Status(self.status()),
            Some(Call::CreateWorkspace(create)) => {
                admin_reply::Body::Workspace(self.create_workspace(create).await?)
            }
            Some(Call::IssueToken(issue)) => {
                admin_reply::Body::Token(self.issue_token(&issue).await?)
            }
            Some(Call::EnsureUser(ensure)) => {
                let cell = self.cell_of(WorkspaceId(ensure.workspace)).await?;
                self.forward(cell, Call::EnsureUser(ensure)).await?
            }
            Some(Call::EnsureChannel(ensure)) => {
                let cell = self.cell_of(WorkspaceId(ensure.workspace)).await?;
                self.forward(cell, Call::EnsureChannel(ensure)).await?
            }
            Some(call @ (Call::Drain(_) | Call::SetCounted(_))) => {
                self.forward(CellId::DIRECTORY, call).await?
            }
            Some(Call::InitWorkspace(_)) | None => {
                return Err(ErrorCode::UnknownMethod.into());
            }
        };
        let reply = AdminReply { body: Some(reply) };
        Ok(routed::answer(reply.encode_to_vec()))
    }

    async fn place(&self, create: CreateWorkspace) -> Result<Bytes, ApiError> {
        let directory = self.cell(CellId::DIRECTORY)?;
        let home = region(&create.home_region)?;
        let placed = place_workspace(directory.consensus().as_ref(), &create.name, &home).await;
        let reply = match placed {
            Ok(workspace) => self.placed(workspace, create.name).await,
            Err(error) => Err(error),
        };
        let reply = reply.map(|workspace| {
            let body = Some(admin_reply::Body::Workspace(workspace));
            AdminReply { body }.encode_to_vec()
        });
        Ok(self.routed(CellId::DIRECTORY, reply))
    }

    /// Begins or undoes a drain, on the directory's leader.
    async fn set_drain(&self, drain: Drain) -> Result<Bytes, ApiError> {
        let directory = self.cell(CellId::DIRECTORY)?;
        let consensus = directory.consensus();
        let set = async {
            let mut tries = DRAIN_TRIES;
            while !self.try_drain(consensus.as_ref(), &drain).await? {
                tries -= 1;
                if tries == 0 {
                    let text = "other drains came first, again and again: try again";
                    return Err(ApiError::new(ErrorCode::Unavailable, text));
                }
            }
            let body = Some(admin_reply::Body::Drain(drain));
            Ok(AdminReply { body }.encode_to_vec())
        };
        let reply = set.await;
        Ok(self.routed(CellId::DIRECTORY, reply))
    }

    /// Checks a drain against the directory as it is, and has it written if no
    /// other was written meanwhile. Returns whether it was.
    async fn try_drain(&self, directory: &dyn Consensus, drain: &Drain) -> Result<bool, ApiError> {
        // Another's copy may be older than the drains before this one.
        directory.turn().await.map_err(refusal)?;
        let book = self.book();
        if drain.active {
            let members = self.0.gossip.membership();
            check_drain(drain, &members, book.drains(), book.cells())?;
        } else if !book.drains().is_active(drain) {
            let text = format!("`{}` is not being drained", drain.name);
            return Err(ApiError::new(ErrorCode::InvalidArguments, text));
        }
        let mut before = book.drains().active();
        let same = before.find(|d| d.scope == drain.scope && d.name == drain.name);
        let seen = Drain {
            version: book.version(),
            away: false,
            // At another rate it is still the same drain.
            since_ms: same.map_or(self.0.clock.now_us() / 1_000, |d| d.since_ms),
            ..drain.clone()
        };
        set_drain(directory, seen).await
    }

    /// Changes whose metadata counts, on the directory's leader.
    async fn set_counted(&self, set: &SetCounted) -> Result<Bytes, ApiError> {
        let directory = self.cell(CellId::DIRECTORY)?;
        let consensus = directory.consensus();
        let recounted = async {
            let decide = || recount(self.book().cells(), set);
            let cells = change_cells(consensus.as_ref(), decide).await?;
            let cells = u32::try_from(cells).unwrap_or(u32::MAX);
            let body = Some(admin_reply::Body::Recounted(Recounted { cells }));
            Ok(AdminReply { body }.encode_to_vec())
        };
        Ok(self.routed(CellId::DIRECTORY, recounted.await))
    }

    /// A workspace as it is, which may have been there before, with another home.
    async fn placed(
        &self,
        workspace: WorkspaceId,
        name: String,
    ) -> Result<client::Workspace, ApiError> {
        let cell = self.cell_of(workspace).await?;
        let book = self.book();
        let record = book.cell(cell).ok_or(ErrorCode::WorkspaceNotFound)?;
        Ok(client::Workspace {
            id: workspace.0,
            name,
            home_region: record.home_region.clone(),
        })
    }

    async fn command(&self, workspace: WorkspaceId, body: Body) -> Result<Bytes, ApiError> {
        // Who asked has a copy of the directory that may be later than this node's.
        let cell = self.cell(self.cell_of(workspace).await?)?;
        let response = cell.command(UserId(0), body).await;
        Ok(self.replied(cell.id(), response))
    }

    /// Answers when the channel's members are known wherever this node can reach.
    async fn ensure_channel(&self, ensure: EnsureChannel) -> Result<Bytes, ApiError> {
        let workspace = WorkspaceId(ensure.workspace);
        let cell = self.cell(self.cell_of(workspace).await?)?;
        let peers = self.0.router.backbone().peers();
        let reach: Vec<NodeId> = peers.iter().map(|peer| peer.node).collect();
        let response = cell.ensure_channel(ensure, &reach).await;
        Ok(self.replied(cell.id(), response))
    }

    fn replied(&self, cell: CellId, response: Result<client::Response, ApiError>) -> Bytes {
        let reply = response.and_then(|response| {
            let body = match response.result {
                Some(response::Result::User(user)) => Some(admin_reply::Body::User(user)),
                Some(response::Result::Channel(c)) => Some(admin_reply::Body::Channel(c)),
                Some(response::Result::Error(error)) => return Err(ApiError::from_wire(error)),
                _ => None,
            };
            Ok(AdminReply { body }.encode_to_vec())
        });
        self.routed(cell, reply)
    }

    async fn create_workspace(
        &self,
        create: CreateWorkspace,
    ) -> Result<client::Workspace, ApiError> {
        region(&create.home_region)?;
        let call = admin_call::Body::CreateWorkspace(create);
        let placed = self.forward(CellId::DIRECTORY, call).await?;
        let admin_reply::Body::Workspace(workspace) = placed else {
            return Err(unexpected());
        };
        let cell = self.cell_of(WorkspaceId(workspace.id)).await?;
        let init = InitWorkspace {
            workspace: workspace.id,
            name: workspace.name.clone(),
            home_region: workspace.home_region.clone(),
        };
        // Again after a crash in between: creating by the same name goes on here.
        self.send(cell, admin_call::Body::InitWorkspace(init))
            .await?;
        Ok(workspace)
    }

    async fn issue_token(&self, issue: &IssueToken) -> Result<String, ApiError> {
        let signer = self.0.signer.as_ref().ok_or_else(|| {
            let text = "this node has no [tokens] signing_key";
            ApiError::new(ErrorCode::NotAllowed, text)
        })?;
        let user = UserId(issue.user);
        self.check_user(user).await?;
        let issued_at_s = self.0.clock.now_us() / 1_000_000;
        let lifetime_s = match issue.lifetime_s {
            0 => TOKEN_LIFETIME_S,
            seconds => seconds,
        };
        let claims = Claims {
            user,
            issued_at_s,
            expires_at_s: issued_at_s.saturating_add(lifetime_s),
        };
        let signed = signer.sign(&claims);
        signed.map_err(|e| ApiError::new(ErrorCode::InternalError, e.to_string()))
    }

    /// Whether the user exists and is active.
    async fn check_user(&self, user: UserId) -> Result<(), ApiError> {
        let cell = self.cell_of(user.workspace()).await?;
        let get = client::request::Body::GetUser(client::GetUser { user: user.0 });
        let call = ApiCall {
            cell: cell.0,
            user: user.0,
            request: Some(client::Request {
                body: Some(get),
                ..client::Request::default()
            }),
            latest: true,
            ..ApiCall::default()
        };
        let body = call.encode_to_vec().into();
        let router = &self.0.router;
        let answer = router
            .call_leader(cell, Method::Api, body, Repeat::Safe, ADMIN_PATIENCE)
            .await?;
        let answer = client::Response::decode(answer).map_err(|e| malformed(&e))?;
        match answer.result {
            Some(response::Result::User(_)) => Ok(()),
            Some(response::Result::Error(error)) => Err(ApiError::from_wire(error)),
            _ => Err(unexpected()),
        }
    }

    async fn forward(
        &self,
        cell: CellId,
        call: admin_call::Body,
    ) -> Result<admin_reply::Body, ApiError> {
        self.send(cell, call).await?.body.ok_or_else(unexpected)
    }

    async fn send(&self, cell: CellId, call: admin_call::Body) -> Result<AdminReply, ApiError> {
        let body = AdminCall { body: Some(call) }.encode_to_vec().into();
        let router = &self.0.router;
        let answer = router
            .call_leader(cell, Method::Admin, body, Repeat::Safe, ADMIN_PATIENCE)
            .await?;
        AdminReply::decode(answer).map_err(|e| malformed(&e))
    }

    /// The cell of a workspace; one that was placed just now is waited for.
    async fn cell_of(&self, workspace: WorkspaceId) -> Result<CellId, ApiError> {
        let mut book = self.0.book.watch();
        let known = book.wait_for(|book| book.cell_of(workspace).is_some());
        let known = tokio::time::timeout(DIRECTORY_PATIENCE, known).await;
        let cell = known.ok().and_then(Result::ok);
        let cell = cell.and_then(|book| book.cell_of(workspace));
        Ok(cell.ok_or(ErrorCode::WorkspaceNotFound)?)
    }

    fn cell(&self, cell: CellId) -> Result<Arc<crate::cell::Cell>, ApiError> {
        self.0.cells.get(cell).ok_or_else(|| {
            let text = format!("cell {cell} has no replica on this node");
            ApiError::new(ErrorCode::Unavailable, text)
        })
    }

    fn book(&self) -> Arc<crate::directory::Book> {
        self.0.book.get()
    }

    /// An answer for a router: it goes on looking where this node does not lead.
    fn routed(&self, cell: CellId, result: Result<Vec<u8>, ApiError>) -> Bytes {
        match result {
            Ok(body) => routed::answer(body),
            Err(error) if error.code == ErrorCode::NotLeader => self.0.cells.not_leader(cell),
            Err(error) => routed::refused(&error),
        }
    }

    fn status(&self) -> NodeStatus {
        let members = self.0.gossip.membership();
        let book = self.book();
        let cells = book.cells().map(|record| self.cell_status(record));
        NodeStatus {
            self_: members.get(self.0.me).map(Member::to_wire),
            members: members.iter().map(Member::to_wire).collect(),
            cells: cells.collect(),
            drains: book.drains().active().cloned().collect(),
            clock_refusals: self.0.metadata.clock_refusals(),
            away: self.away(),
        }
    }

    fn away(&self) -> Vec<AwayMember> {
        let away = self.0.gossip.away();
        let away = away.iter(Instant::now());
        let told = away.map(|(member, since)| AwayMember {
            member: Some(member.to_wire()),
            away_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
        });
        told.collect()
    }
}

impl Api {
    /// A cell as this node knows it: by its own replica, or else from hearsay.
    fn cell_status(&self, record: &Cell) -> CellStatus {
        let id = CellId(record.id);
        let routes = self.0.router.routes().get();
        let heard = routes.cell(id).and_then(|route| route.leader);
        let held = self.0.cells.get(id).map(|cell| cell.consensus().status());
        let held = held.filter(|status| !status.members.is_empty());
        let mut replicas = record.replicas.clone();
        if let Some(status) = &held {
            // Until its group has taken it in, a new voter has no vote.
            for replica in &mut replicas {
                replica.learner |= !status.voters.contains(&NodeId(replica.node_id));
            }
        }
        let (term, leader, applied) = match held {
            Some(status) => {
                let leadership = status.leadership;
                (leadership.term, leadership.leader, status.applied.0)
            }
            None => (heard.map_or(0, |l| l.term), heard.map(|l| l.node), 0),
        };
        CellStatus {
            returning: returning(record).map(|r| r.node_id).collect(),
            cell: record.id,
            home_region: record.home_region.clone(),
            survive: record.survive,
            epoch: record.epoch,
            term,
            leader: leader.map_or(0, |node| node.0),
            applied,
            replicas,
        }
    }
}

fn region(name: &str) -> Result<Name, ApiError> {
    let parsed = name.parse();
    parsed.map_err(|_| ApiError::new(ErrorCode::RegionNotFound, format!("no region `{name}`")))
}

fn malformed(error: &impl std::fmt::Display) -> ApiError {
    ApiError::new(ErrorCode::Malformed, error.to_string())
}

fn unexpected() -> ApiError {
    ApiError::new(ErrorCode::InternalError, "an unexpected answer")
}
