//! What each method first asks of the cells, read from its arguments.

use causeway_protocol::client::{self, request::Body};
use causeway_protocol::{ApiError, ErrorCode};

use super::args::Args;
use super::methods::Call;

type Asked = Result<Body, ApiError>;

/// The only answer with the workspace's name in it.
pub fn boot(_: &Call) -> Asked {
    Ok(Body::Boot(client::Boot {}))
}

/// `chat.postMessage`
pub fn post(call: &Call) -> Asked {
    let args = &call.args;
    let channel = args.channel()?.0;
    let thread_ts = args.ts("thread_ts", ErrorCode::ThreadNotFound)?;
    let client_msg_id = match args.text("client_msg_id")? {
        Some(id) => id.to_owned(),
        // As text, so that the id that is shown can be used to send again.
        None => format!("{:032x}", call.spare_id),
    };
    Ok(Body::SendMessage(client::SendMessage {
        channel,
        client_msg_id: client_msg_id.into(),
        text: text(args)?,
        thread_ts: thread_ts.unwrap_or_default().0,
    }))
}

/// `chat.update`
pub fn update(call: &Call) -> Asked {
    Ok(Body::EditMessage(client::EditMessage {
        channel: call.args.channel()?.0,
        ts: call.args.required_ts(ErrorCode::MessageNotFound)?.0,
        text: text(&call.args)?,
    }))
}

/// `chat.delete`
pub fn delete(call: &Call) -> Asked {
    Ok(Body::DeleteMessage(client::DeleteMessage {
        channel: call.args.channel()?.0,
        ts: call.args.required_ts(ErrorCode::MessageNotFound)?.0,
    }))
}

/// `conversations.create`
pub fn create(call: &Call) -> Asked {
    let name = call.args.text("name")?.ok_or(ErrorCode::InvalidName)?;
    Ok(Body::CreateChannel(client::CreateChannel {
        name: name.to_owned(),
        private: call.args.flag("is_private")?,
    }))
}

/// `conversations.join`
pub fn join(call: &Call) -> Asked {
    let channel = call.args.channel()?.0;
    Ok(Body::JoinChannel(client::JoinChannel { channel }))
}

/// `conversations.leave`
pub fn leave(call: &Call) -> Asked {
    let channel = call.args.channel()?.0;
    Ok(Body::LeaveChannel(client::LeaveChannel { channel }))
}

/// `conversations.info`
pub fn channel(call: &Call) -> Asked {
    let channel = call.args.channel()?.0;
    Ok(Body::GetChannel(client::GetChannel { channel }))
}

/// `conversations.list`
pub fn channels(call: &Call) -> Asked {
    let types = ChannelTypes::read(&call.args)?;
    Ok(Body::ListChannels(client::ListChannels {
        // Private channels are seen by their members only.
        mine: !types.public,
        limit: call.args.limit()?,
        cursor: call.args.cursor()?,
    }))
}

/// `conversations.history`
pub fn history(call: &Call) -> Asked {
    let args = &call.args;
    Ok(Body::ReadHistory(client::ReadHistory {
        channel: args.channel()?.0,
        oldest_ts: args.bound("oldest")?.0,
        latest_ts: args.bound("latest")?.0,
        inclusive: args.flag("inclusive")?,
        oldest_first: false,
        with_replies: false,
        limit: args.limit()?,
        cursor: args.cursor()?,
    }))
}

/// One message, if it has not been deleted.
pub fn message(channel: u64, ts: u64) -> Body {
    Body::ReadHistory(client::ReadHistory {
        channel,
        oldest_ts: ts,
        latest_ts: ts,
        inclusive: true,
        with_replies: true,
        limit: 1,
        ..client::ReadHistory::default()
    })
}

/// `conversations.replies`
pub fn replies(call: &Call) -> Asked {
    Ok(Body::ReadReplies(client::ReadReplies {
        channel: call.args.channel()?.0,
        thread_ts: call.args.required_ts(ErrorCode::ThreadNotFound)?.0,
        limit: call.args.limit()?,
        cursor: call.args.cursor()?,
    }))
}

/// `conversations.members`
pub fn members(call: &Call) -> Asked {
    Ok(Body::ListMembers(client::ListMembers {
        channel: call.args.channel()?.0,
        limit: call.args.limit()?,
        cursor: call.args.cursor()?,
    }))
}

/// `conversations.mark` has a `ts`, the cells count in `seq`: the newest message
/// that is not newer says which.
pub fn find_mark(call: &Call) -> Asked {
    Ok(Body::ReadHistory(client::ReadHistory {
        channel: call.args.channel()?.0,
        latest_ts: call.args.required_ts(ErrorCode::InvalidArguments)?.0,
        inclusive: true,
        with_replies: true,
        limit: 1,
        ..client::ReadHistory::default()
    }))
}

/// `users.list`
pub fn users(call: &Call) -> Asked {
    Ok(Body::ListUsers(client::ListUsers {
        limit: call.args.limit()?,
        cursor: call.args.cursor()?,
    }))
}

/// `users.info`
pub fn user(call: &Call) -> Asked {
    let user = call.args.user()?.0;
    Ok(Body::GetUser(client::GetUser { user }))
}

fn text(args: &Args) -> Result<String, ApiError> {
    let text = args.text("text")?.ok_or(ErrorCode::NoText)?;
    Ok(text.to_owned())
}

/// What `types` of `conversations.list` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelTypes {
    /// Public channels.
    pub public: bool,
    /// Private channels of which the caller is a member.
    pub private: bool,
}

impl ChannelTypes {
    /// Reads the comma-separated list. Direct messages, which we have not, may
    /// be asked for as well: there are none.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArguments`] for a type that Slack does not know.
    pub fn read(args: &Args) -> Result<Self, ApiError> {
        let mut types = Self {
            public: false,
            private: false,
        };
        let text = args.text("types")?.unwrap_or("public_channel");
        for word in text.split(',') {
            match word.trim() {
                "public_channel" => types.public = true,
                "private_channel" => types.private = true,
                "im" | "mpim" => {}
                _ => {
                    let text = "types may be public_channel, private_channel, im and mpim";
                    return Err(ApiError::new(ErrorCode::InvalidArguments, text));
                }
            }
        }
        Ok(types)
    }

    /// Whether a channel of this privacy is wanted.
    pub fn want(self, private: bool) -> bool {
        if private { self.private } else { self.public }
    }
}
