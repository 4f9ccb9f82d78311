//! What metadata forbids the leader to take: it may have yet to hear of a change that
//! the sender knows of.

use std::time::Duration;

use causeway_protocol::{ApiError, ChannelId, ErrorCode, UserId};

use super::{Cell, PATIENCE, internal, metadata, renewed};
use crate::metadata::actor::Dot;
use crate::metadata::cell::{Known, Patience};
use crate::state_records::command;

/// What should not hold a command up is waited for this long.
const HEARSAY_WITHIN: Duration = Duration::from_millis(100);

impl Cell {
    /// Refuses commands that metadata forbids, on the leader, if it knows all that the
    /// user knows. Cut off from whoever does, it lets them pass, and so it does where the
    /// edge node has seen the user join the channel, and the leader has yet to hear of that
    /// (`joined`); else it should know soon: anybody can claim to have written what nobody
    /// has.
    ///
    /// # Errors
    /// [`ApiError`].
    pub(super) async fn admit(
        &self,
        user: UserId,
        command: &command::Body,
        known: &Known,
        joined: Option<(ChannelId, Dot)>,
    ) -> Result<(), ApiError> {
        if !self.consensus.leadership().borrow().leads {
            return Ok(());
        }
        if !self.serves_metadata(user.workspace())? {
            // Who is in a channel is not known here for the moment; to create one, its
            // creator must become a member.
            return match command {
                command::Body::CreateChannel(_) => Err(renewed()),
                _ => Ok(()),
            };
        }
        let now_us = self.vitals.clock().now_us();
        let admit = || {
            self.look(user, |sources| {
                metadata::admit(sources, user, command, now_us)
            })
        };
        let Err(refused) = admit() else {
            return Ok(());
        };
        let (metadata, workspace) = (self.metadata()?, user.workspace());
        let doubt = || {
            let awaited = metadata.awaited(workspace, known).map_err(internal)?;
            let in_touch = awaited
                .iter()
                .filter(|node| self.vitals.is_in_touch(**node));
            // Who knows of a removal knows of the join.
            let has_joined = match joined {
                Some((channel, dot)) if refused.code == ErrorCode::NotInChannel => {
                    let version = metadata.version(workspace).map_err(internal)?;
                    metadata::concerns(command) == Some(channel) && !version.has(&dot)
                }
                _ => false,
            };
            Ok::<_, ApiError>(Doubt {
                has_joined,
                awaited: awaited.len(),
                in_touch: in_touch.count(),
            })
        };
        let knowing = metadata.knows(workspace, known, doubt()?.patience());
        if knowing.await.map_err(internal)? {
            return admit();
        }
        let doubt = doubt()?;
        match doubt.verdict() {
            Verdict::Decide => admit(),
            Verdict::Pass if doubt.has_joined && self.is_archived(user, command)? => {
                Err(ErrorCode::IsArchived.into())
            }
            Verdict::Pass => {
                tracing::debug!(%user, %refused, "not known for certain");
                Ok(())
            }
            Verdict::Wait => {
                let text = "the leader has yet to hear of a change that you know of";
                Err(ApiError::new(ErrorCode::Unavailable, text))
            }
        }
    }

    /// Whether a message would go to an archived channel.
    fn is_archived(&self, user: UserId, command: &command::Body) -> Result<bool, ApiError> {
        let command::Body::SendMessage(send) = command else {
            return Ok(false);
        };
        let channel = ChannelId(send.channel);
        self.look(user, |sources| {
            Ok(sources.metadata.channel(channel)?.archived)
        })
    }
}

/// What speaks against a refusal.
#[derive(Debug, Clone, Copy)]
struct Doubt {
    /// The edge node has seen the user join the channel that is said not to be theirs, by an
    /// operation that this replica lacks.
    has_joined: bool,
    /// Replicas that wrote what the user knows, and this one lacks.
    awaited: usize,
    /// As many of them are in touch, as far as is known: of one that has just died, it
    /// is not known yet.
    in_touch: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// By what is known here.
    Decide,
    /// The command is let through.
    Pass,
    /// It is to come again.
    Wait,
}

impl Doubt {
    fn patience(self) -> Patience {
        let soon = Patience {
            within: HEARSAY_WITHIN,
            // Whoever has not been seen to join may well wait for longer.
            is_enough: !self.has_joined,
        };
        match !self.has_joined && self.in_touch > 0 {
            true => PATIENCE,
            false => soon,
        }
    }

    /// Once there is no patience left.
    fn verdict(self) -> Verdict {
        match self {
            Self { awaited: 0, .. } => Verdict::Decide,
            _ if self.has_joined || self.in_touch < self.awaited => Verdict::Pass,
            _ => Verdict::Wait,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IN_TOUCH: Doubt = Doubt {
        has_joined: false,
        awaited: 2,
        in_touch: 2,
    };

    #[test]
    fn what_somebody_in_touch_wrote_is_waited_for() {
        assert_eq!(IN_TOUCH.patience(), PATIENCE);
        assert_eq!(IN_TOUCH.verdict(), Verdict::Wait);
    }

    #[test]
    fn what_nobody_is_left_to_tell_is_believed() {
        let cut_off = Doubt {
            in_touch: 0,
            ..IN_TOUCH
        };
        assert_eq!(cut_off.patience().within, HEARSAY_WITHIN);
        assert!(cut_off.patience().is_enough);
        assert_eq!(cut_off.verdict(), Verdict::Pass);
        let in_part = Doubt {
            in_touch: 1,
            ..IN_TOUCH
        };
        assert_eq!(in_part.patience(), PATIENCE);
        assert_eq!(in_part.verdict(), Verdict::Pass);
    }

    #[test]
    fn who_was_seen_to_join_does_not_wait_for_a_death_to_be_noticed() {
        let joined = Doubt {
            has_joined: true,
            ..IN_TOUCH
        };
        assert_eq!(joined.patience().within, HEARSAY_WITHIN);
        assert!(!joined.patience().is_enough, "others wait for longer");
        assert_eq!(joined.verdict(), Verdict::Pass);
    }

    #[test]
    fn where_nothing_is_missing_the_replica_decides() {
        for has_joined in [false, true] {
            let nothing = Doubt {
                has_joined,
                awaited: 0,
                in_touch: 0,
            };
            assert_eq!(nothing.verdict(), Verdict::Decide);
        }
    }
}
