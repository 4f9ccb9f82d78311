//! What can be broken.

/// A promise that a history can break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// An acknowledged message is in the log of every replica.
    AcknowledgedMissing,
    /// It is there at the acknowledged `seq` and `ts`.
    WrongPlace,
    /// A message or a deletion is stored once, acknowledged or not.
    StoredTwice,
    /// A message that was never edited has the text that was sent.
    WrongText,
    /// An acknowledged edit has its entry.
    EditLost,
    /// An edited message has the text of its last edit.
    EditText,
    /// An acknowledged deletion has its entry.
    DeletionLost,
    /// A deleted message shows no text, and is not edited any more.
    DeletionIneffective,
    /// What was refused never shows.
    RefusedShown,
    /// Nothing shows that nobody has asked for.
    Phantom,
    /// An entry agrees with itself, with the message that it is about, and with
    /// what was asked for: author, thread, `seq` and `ts`.
    EntryWrong,
    /// A `seq` is given once.
    SeqReused,
    /// What begins after something else was acknowledged has the larger `seq`.
    SeqOrder,
    /// A message sent again is answered with its first `seq` and `ts`.
    ResendDiffers,
    /// `ts` grows with `seq`.
    TsOrder,
    /// A log has every `seq` from 1.
    LogHole,
    /// A replica gives its log in the order of `seq`, each entry once.
    LogOrder,
    /// Every channel was read back from a replica.
    LogUnread,
    /// All replicas hold the same.
    ReplicasDiffer,
    /// A member is given every entry.
    DeliveryMissing,
    /// A client is given an entry once.
    DeliveredTwice,
    /// A client is given entries in the order of `seq`.
    DeliveredOutOfOrder,
    /// A client is given what the log says.
    DeliveryDiffers,
    /// A client's reads do not go back in time.
    ReadWentBack,
    /// A client reads its own writes.
    ReadMissedOwn,
    /// A client reads what it has been given.
    ReadMissedDelivered,
    /// A page of history shows messages as they are, and leaves none out in between.
    PageWrong,
}

impl Rule {
    /// A stable name, for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::AcknowledgedMissing => "acknowledged_missing",
            Self::WrongPlace => "wrong_place",
            Self::StoredTwice => "stored_twice",
            Self::WrongText => "wrong_text",
            Self::EditLost => "edit_lost",
            Self::EditText => "edit_text",
            Self::DeletionLost => "deletion_lost",
            Self::DeletionIneffective => "deletion_ineffective",
            Self::RefusedShown => "refused_shown",
            Self::Phantom => "phantom",
            Self::EntryWrong => "entry_wrong",
            Self::SeqReused => "seq_reused",
            Self::SeqOrder => "seq_order",
            Self::ResendDiffers => "resend_differs",
            Self::TsOrder => "ts_order",
            Self::LogHole => "log_hole",
            Self::LogOrder => "log_order",
            Self::LogUnread => "log_unread",
            Self::ReplicasDiffer => "replicas_differ",
            Self::DeliveryMissing => "delivery_missing",
            Self::DeliveredTwice => "delivered_twice",
            Self::DeliveredOutOfOrder => "delivered_out_of_order",
            Self::DeliveryDiffers => "delivery_differs",
            Self::ReadWentBack => "read_went_back",
            Self::ReadMissedOwn => "read_missed_own",
            Self::ReadMissedDelivered => "read_missed_delivered",
            Self::PageWrong => "page_wrong",
        }
    }
}
