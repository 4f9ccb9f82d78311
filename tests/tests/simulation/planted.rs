//! Deliberate faults: each turns off one thing that keeps an invariant, so that
//! tests can show that the invariant is really checked.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planted {
    /// A leader commits what it alone has.
    AckBeforeQuorum,
    /// A replica answers before its disk has synced.
    AckBeforeSync,
    /// A voter forgets for whom it voted.
    ForgottenVote,
    /// A leader answers as fresh although its lease is over.
    StaleLease,
    /// A cell posts a message again that was sent again under its id.
    NoDeduplication,
    /// A client shows pushes as they come, past its inbox.
    PushesPastInbox,
    /// A client says hello without its cursors.
    ForgottenCursors,
    /// A replica answers although it is behind what the client has seen.
    BehindTheCursor,
    /// Holes are not read from the log.
    HolesStay,
    /// The directory's leader leaves replicas on nodes that stay away.
    NoReplacement,
    /// Replicas that the directory has given to other nodes go on for ever.
    NoRelease,
    /// Leaders stay where they are.
    NoHomecoming,
    /// A node that is drained keeps leaderships, and takes more.
    DrainedNodesLead,
    /// An edge node that is drained keeps its clients.
    DrainedEdgesKeepClients,
    /// A client leaves its PoP before it has arrived at the next.
    LeavesFirst,
    /// Leaders do not announce themselves.
    NoHints,
}
