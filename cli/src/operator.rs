//! The operator's side of the backbone: what `causeway admin` and the other
//! tools ask of a world.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use causeway_protocol::backbone::{
    AdminCall, AdminReply, ApiCall, CreateWorkspace, Directory, DirectoryPoll, Drain, EdgeStatus,
    EnsureChannel, EnsureUser, IssueToken, NodeStatus, PeerHello, RoutedReply, SetCounted, Status,
    admin_call, admin_reply, routed_reply,
};
use causeway_protocol::client;
use causeway_protocol::{ApiError, CellId, Method, Name, NodeId, UserId, WorkspaceId};
use causeway_transport::backbone::{Backbone, BackboneConfig, CallError};
use causeway_transport::endpoint::Liveness;
use futures::FutureExt;
use futures::future::{join_all, select_ok};
use parking_lot::Mutex;
use prost::Message;

use crate::world::World;

/// A call is answered by then.
const CALL_TIMEOUT: Duration = Duration::from_secs(12);
/// A node that does not tell its status by then is left out.
const STATUS_TIMEOUT: Duration = Duration::from_secs(3);
/// A node of the same machine or site answers by then.
const AT_ONCE: Duration = Duration::from_millis(50);
/// Before the next core node is tried beside one that has not answered.
const HEAD_START: Duration = Duration::from_millis(200);
/// Between tries to reach a core node.
const CONNECT_PAUSE: Duration = Duration::from_millis(50);

/// A connection to a world, with the operator's rights.
#[derive(Clone)]
pub struct Operator {
    backbone: Backbone,
    /// Core nodes and their regions, the preferred one first.
    cores: Arc<Vec<(Name, SocketAddr)>>,
    edges: Arc<Vec<SocketAddr>>,
    /// Those that have answered.
    known: Arc<Mutex<HashMap<SocketAddr, NodeId>>>,
}

impl Operator {
    /// Connects to a world, and waits for it if it is just starting.
    ///
    /// # Errors
    /// When no core node answers within `limit`.
    pub async fn connect(world: &World, limit: Duration) -> anyhow::Result<Self> {
        let config = BackboneConfig {
            listen: ([127, 0, 0, 1], 0).into(),
            credentials: world.operator_credentials()?,
            roots: world.roots()?,
            liveness: Liveness::BACKBONE,
            // The operator stands outside of the emulated network.
            wan: None,
        };
        let hello = PeerHello {
            node_id: rand::random_range(1..=u64::MAX),
            name: "operator".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            ..PeerHello::default()
        };
        let backbone = Backbone::bind(&config, hello)?;
        let cores = world
            .cores()
            .map(|n| (n.place.clone(), n.backbone))
            .collect();
        let operator = Self {
            backbone,
            cores: Arc::new(cores),
            edges: Arc::new(world.edges().map(|n| n.backbone).collect()),
            known: Arc::default(),
        };
        let deadline = Instant::now() + limit;
        while let Err(error) = operator.reach().await {
            if Instant::now() > deadline {
                return Err(error);
            }
            tokio::time::sleep(CONNECT_PAUSE).await;
        }
        Ok(operator)
    }

    /// The same operator, asking core nodes in `region` first.
    pub fn near(&self, region: &Name) -> Self {
        let mut cores = self.cores.as_ref().clone();
        cores.sort_by_key(|(place, _)| place != region);
        Self {
            backbone: self.backbone.clone(),
            cores: Arc::new(cores),
            edges: Arc::clone(&self.edges),
            known: Arc::clone(&self.known),
        }
    }

    /// Creates a workspace, or finds the one with this name.
    ///
    /// # Errors
    /// The world's refusal.
    pub async fn create_workspace(
        &self,
        name: &str,
        home: &Name,
    ) -> anyhow::Result<client::Workspace> {
        let create = CreateWorkspace {
            name: name.to_owned(),
            home_region: home.to_string(),
        };
        match self.call(admin_call::Body::CreateWorkspace(create)).await? {
            admin_reply::Body::Workspace(workspace) => Ok(workspace),
            _ => bail!("an unexpected answer"),
        }
    }

    /// Creates a user, or finds the one with this name.
    ///
    /// # Errors
    /// The world's refusal.
    pub async fn ensure_user(
        &self,
        workspace: WorkspaceId,
        name: &str,
        real_name: &str,
        admin: bool,
    ) -> anyhow::Result<client::User> {
        let ensure = EnsureUser {
            workspace: workspace.0,
            name: name.to_owned(),
            real_name: real_name.to_owned(),
            admin,
        };
        match self.call(admin_call::Body::EnsureUser(ensure)).await? {
            admin_reply::Body::User(user) => Ok(user),
            _ => bail!("an unexpected answer"),
        }
    }

    /// Creates a channel, or finds the one with this name, and adds members.
    ///
    /// # Errors
    /// The world's refusal.
    pub async fn ensure_channel(
        &self,
        workspace: WorkspaceId,
        name: &str,
        private: bool,
        members: &[UserId],
    ) -> anyhow::Result<client::Channel> {
        let ensure = EnsureChannel {
            workspace: workspace.0,
            name: name.to_owned(),
            private,
            members: members.iter().map(|user| user.0).collect(),
        };
        match self.call(admin_call::Body::EnsureChannel(ensure)).await? {
            admin_reply::Body::Channel(channel) => Ok(channel),
            _ => bail!("an unexpected answer"),
        }
    }

    /// Issues a token to a user.
    ///
    /// # Errors
    /// The world's refusal.
    pub async fn issue_token(&self, user: UserId) -> anyhow::Result<String> {
        let issue = IssueToken {
            workspace: user.workspace().0,
            user: user.0,
            lifetime_s: 0,
        };
        match self.call(admin_call::Body::IssueToken(issue)).await? {
            admin_reply::Body::Token(token) => Ok(token),
            _ => bail!("an unexpected answer"),
        }
    }

    /// The world as each core node sees it that answers, in the order of the
    /// world's file.
    pub async fn statuses(&self) -> Vec<NodeStatus> {
        self.statuses_within(STATUS_TIMEOUT).await
    }

    /// The same, leaving out who does not answer at once.
    pub async fn statuses_now(&self) -> Vec<NodeStatus> {
        self.statuses_within(AT_ONCE).await
    }

    async fn statuses_within(&self, limit: Duration) -> Vec<NodeStatus> {
        let asked = self.cores.iter().map(|(_, address)| {
            let status = self.status_at(*address);
            tokio::time::timeout(limit, status)
        });
        let answers = join_all(asked).await;
        answers.into_iter().flatten().flatten().collect()
    }

    /// Every edge node that answers, in the order of the world's file.
    pub async fn edge_statuses(&self) -> Vec<EdgeStatus> {
        let asked = self.edges.iter().map(|address| {
            let status = self.edge_status_at(*address);
            tokio::time::timeout(STATUS_TIMEOUT, status)
        });
        let answers = join_all(asked).await;
        answers.into_iter().flatten().flatten().collect()
    }

    async fn edge_status_at(&self, address: SocketAddr) -> anyhow::Result<EdgeStatus> {
        let node = self.reach_at(address).await?;
        match self
            .call_node(node, admin_call::Body::Status(Status {}))
            .await?
        {
            admin_reply::Body::Edge(status) => Ok(status),
            _ => bail!("an unexpected answer"),
        }
    }

    /// Begins or undoes a drain.
    ///
    /// # Errors
    /// The world's refusal.
    pub async fn set_drain(&self, drain: Drain) -> anyhow::Result<()> {
        match self.call(admin_call::Body::Drain(drain)).await? {
            admin_reply::Body::Drain(_) => Ok(()),
            _ => bail!("an unexpected answer"),
        }
    }

    /// Declares that the metadata of a core node counts no longer, or counts again.
    /// Returns how many cells have a replica of it. The node is named as in its
    /// certificate, or by its id if nobody knows its name any more.
    ///
    /// # Errors
    /// The world's refusal.
    pub async fn set_counted(&self, node: &str, counted: bool) -> anyhow::Result<u32> {
        let node_id = self.node_id(node).await?.0;
        let set = SetCounted { node_id, counted };
        match self.call(admin_call::Body::SetCounted(set)).await? {
            admin_reply::Body::Recounted(recounted) => Ok(recounted.cells),
            _ => bail!("an unexpected answer"),
        }
    }

    async fn node_id(&self, node: &str) -> anyhow::Result<NodeId> {
        let statuses = self.statuses().await;
        let members = statuses.iter().flat_map(|status| &status.members);
        let named = members.clone().find(|member| member.name == node);
        if let Some(member) = named {
            return Ok(NodeId(member.node_id));
        }
        let Ok(id) = u64::from_str_radix(node, 16) else {
            let names: BTreeSet<&str> = members.map(|member| member.name.as_str()).collect();
            let names: Vec<&str> = names.into_iter().collect();
            bail!("no node is called `{node}`; there are {}", names.join(", "));
        };
        Ok(NodeId(id))
    }

    /// The directory: all cells and shards.
    ///
    /// # Errors
    /// When no core node answers.
    pub async fn directory(&self) -> anyhow::Result<Directory> {
        let node = self.reach().await?;
        let poll = DirectoryPoll {
            have_version: 0,
            at_once: true,
        };
        let body = poll.encode_to_vec().into();
        let answer = self
            .backbone
            .call(node, Method::Directory, body, CALL_TIMEOUT);
        Ok(Directory::decode(answer.await?)?)
    }

    /// Asks one replica of `cell`, and no other, on behalf of `user`.
    ///
    /// # Errors
    /// The refusal, or that the node does not answer.
    pub async fn ask_replica(
        &self,
        address: SocketAddr,
        cell: CellId,
        user: UserId,
        body: client::request::Body,
    ) -> anyhow::Result<client::response::Result> {
        let response = self.response_of(address, cell, user, body).await?;
        response.result.context("an empty answer")
    }

    /// The same, with what the replica tells beside its answer.
    ///
    /// # Errors
    /// As for [`Self::ask_replica`].
    pub async fn response_of(
        &self,
        address: SocketAddr,
        cell: CellId,
        user: UserId,
        body: client::request::Body,
    ) -> anyhow::Result<client::Response> {
        let node = self.reach_at(address).await?;
        let call = ApiCall {
            cell: cell.0,
            user: user.0,
            request: Some(client::Request {
                body: Some(body),
                ..client::Request::default()
            }),
            ..ApiCall::default()
        };
        let call = call.encode_to_vec().into();
        let answer = self.backbone.call(node, Method::Api, call, CALL_TIMEOUT);
        let response = match RoutedReply::decode(answer.await?)?.result {
            Some(routed_reply::Result::Body(body)) => client::Response::decode(body)?,
            Some(routed_reply::Result::Error(error)) => {
                return Err(ApiError::from_wire(error).into());
            }
            None => bail!("an empty answer"),
        };
        match response.result {
            Some(client::response::Result::Error(error)) => Err(ApiError::from_wire(error).into()),
            _ => Ok(response),
        }
    }

    /// The world as one core node sees it.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn status_at(&self, address: SocketAddr) -> anyhow::Result<NodeStatus> {
        let node = self.reach_at(address).await?;
        match self
            .call_node(node, admin_call::Body::Status(Status {}))
            .await?
        {
            admin_reply::Body::Status(status) => Ok(status),
            _ => bail!("an unexpected answer"),
        }
    }

    /// The first core node that answers. A dead one holds nobody up: the next is
    /// tried meanwhile.
    async fn reach(&self) -> anyhow::Result<NodeId> {
        ensure!(!self.cores.is_empty(), "the world has no core node");
        let waits = (0..).map(|turn| HEAD_START * turn);
        let tries = self.cores.iter().zip(waits).map(|((_, address), wait)| {
            let reaching = async move {
                tokio::time::sleep(wait).await;
                self.reach_at(*address).await
            };
            reaching.boxed()
        });
        let (node, _) = select_ok(tries)
            .await
            .context("no core node answers (does the world run?)")?;
        Ok(node)
    }

    async fn reach_at(&self, address: SocketAddr) -> Result<NodeId, CallError> {
        if let Some(node) = self.known.lock().get(&address) {
            return Ok(*node);
        }
        let peer = self.backbone.connect(address).await?;
        self.backbone.set_address(peer.node, address);
        self.known.lock().insert(address, peer.node);
        Ok(peer.node)
    }

    async fn call(&self, body: admin_call::Body) -> anyhow::Result<admin_reply::Body> {
        let node = self.reach().await?;
        self.call_node(node, body).await
    }

    async fn call_node(
        &self,
        node: NodeId,
        body: admin_call::Body,
    ) -> anyhow::Result<admin_reply::Body> {
        let call = AdminCall { body: Some(body) };
        let call = call.encode_to_vec().into();
        let answer = self
            .backbone
            .call(node, Method::Admin, call, CALL_TIMEOUT)
            .await;
        if let Err(CallError::Unreachable { .. } | CallError::Timeout(_)) = &answer {
            // The next call looks for another.
            self.known.lock().retain(|_, known| *known != node);
        }
        let answer = answer?;
        let reply = match RoutedReply::decode(answer)?.result {
            Some(routed_reply::Result::Body(body)) => AdminReply::decode(body)?,
            Some(routed_reply::Result::Error(error)) => {
                return Err(ApiError::from_wire(error).into());
            }
            None => bail!("an empty answer"),
        };
        reply.body.context("an empty answer")
    }
}
