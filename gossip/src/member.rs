//! A member: a node as every other node knows it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use causeway_protocol::backbone::{MemberRecord, Role as WireRole};
use causeway_protocol::{Name, NodeId};

/// What a node does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Holds cells, in a region.
    Core,
    /// Terminates clients, at a PoP.
    Edge,
}

/// A node's facts. Equal when it is the same life of the same node.
#[derive(Debug, Clone)]
pub struct MemberInfo {
    /// The node.
    pub node: NodeId,
    /// Microseconds since 1970 at which this life of it began; the larger wins.
    pub incarnation: u64,
    /// The name from its configuration and certificate.
    pub name: Name,
    /// What it does.
    pub role: Role,
    /// Region of a core node, PoP of an edge node.
    pub place: Name,
    /// Failure domain inside the place.
    pub zone: Name,
    /// Where it accepts backbone connections.
    pub backbone: SocketAddr,
    /// Where clients reach an edge node over QUIC.
    pub client: Option<SocketAddr>,
    /// Where the Web API (edge) or the health checks (core) are served.
    pub http: Option<SocketAddr>,
    /// Version of the build.
    pub version: String,
}

/// A [`MemberInfo`], cheap to clone, as foca clones identities freely.
#[derive(Clone)]
pub struct Member(Arc<MemberInfo>);

impl Member {
    /// Wraps the facts.
    pub fn new(info: MemberInfo) -> Self {
        Self(Arc::new(info))
    }

    /// The wire form.
    pub fn to_wire(&self) -> MemberRecord {
        let role = match self.role {
            Role::Core => WireRole::Core,
            Role::Edge => WireRole::Edge,
        };
        let address = |a: &Option<SocketAddr>| a.map(|a| a.to_string()).unwrap_or_default();
        MemberRecord {
            node_id: self.node.0,
            incarnation: self.incarnation,
            name: self.name.to_string(),
            role: role.into(),
            place: self.place.to_string(),
            zone: self.zone.to_string(),
            backbone_address: self.backbone.to_string(),
            client_address: address(&self.client),
            http_address: address(&self.http),
            version: self.version.clone(),
        }
    }

    /// Reads the wire form; `None` when a part is missing or makes no sense.
    pub fn from_wire(record: &MemberRecord) -> Option<Self> {
        let role = match record.role() {
            WireRole::Core => Role::Core,
            WireRole::Edge => Role::Edge,
            WireRole::Unspecified => return None,
        };
        let optional = |text: &str| match text {
            "" => Some(None),
            text => text.parse().ok().map(Some),
        };
        Some(Self::new(MemberInfo {
            node: NodeId(record.node_id),
            incarnation: record.incarnation,
            name: record.name.parse().ok()?,
            role,
            place: record.place.parse().ok()?,
            zone: record.zone.parse().ok()?,
            backbone: record.backbone_address.parse().ok()?,
            client: optional(&record.client_address)?,
            http: optional(&record.http_address)?,
            version: record.version.clone(),
        }))
    }
}

impl std::ops::Deref for Member {
    type Target = MemberInfo;

    fn deref(&self) -> &MemberInfo {
        &self.0
    }
}

impl PartialEq for Member {
    fn eq(&self, other: &Self) -> bool {
        self.node == other.node && self.incarnation == other.incarnation
    }
}

impl Eq for Member {}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.incarnation)
    }
}

impl foca::Identity for Member {
    type Addr = SocketAddr;

    /// A new life, when the others have declared this one dead. A start begins at
    /// the time of day, and no node is declared dead once a microsecond: the next
    /// start still wins.
    fn renew(&self) -> Option<Self> {
        Some(Self::new(MemberInfo {
            incarnation: self.incarnation + 1,
            ..MemberInfo::clone(self)
        }))
    }

    fn addr(&self) -> SocketAddr {
        self.backbone
    }

    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        (self.incarnation, self.node) > (adversary.incarnation, adversary.node)
    }
}

/// The members that are alive, this node among them, as this node sees it.
#[derive(Debug, Clone, Default)]
pub struct Membership {
    members: BTreeMap<NodeId, Member>,
}

impl Membership {
    /// Collects members; of two lives of one node the later stays.
    pub fn new(members: impl IntoIterator<Item = Member>) -> Self {
        let mut map = BTreeMap::<NodeId, Member>::new();
        for member in members {
            let known = map.get(&member.node);
            if known.is_none_or(|known| known.incarnation < member.incarnation) {
                map.insert(member.node, member);
            }
        }
        Self { members: map }
    }

    /// Every member, by node id.
    pub fn iter(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// The member that is this node.
    pub fn get(&self, node: NodeId) -> Option<&Member> {
        self.members.get(&node)
    }

    /// The core nodes, of all regions or of one.
    pub fn cores<'a>(&'a self, region: Option<&'a Name>) -> impl Iterator<Item = &'a Member> {
        self.iter().filter(move |member| {
            member.role == Role::Core && region.is_none_or(|region| *region == member.place)
        })
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether not even this node is a member yet.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }
}
