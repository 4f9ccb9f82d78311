//! What each method first asks of the cells, read from its arguments.

pub mod marks;
pub mod people;
pub mod settings;

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
        ts: call.args.required_ts("ts", ErrorCode::MessageNotFound)?.0,
        text: text(&call.args)?,
    }))
}

/// `chat.delete`
pub fn delete(call: &Call) -> Asked {
    Ok(Body::DeleteMessage(client::DeleteMessage {
        channel: call.args.channel()?.0,
        ts: call.args.required_ts("ts", ErrorCode::MessageNotFound)?.0,
    }))
}

/// `conversations.create`
pub fn create(call: &Call) -> Asked {
    Ok(Body::CreateChannel(client::CreateChannel {
        name: name(&call.args)?,
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
    Ok(get_channel(call.args.channel()?.0))
}

/// One channel.
pub fn get_channel(channel: u64) -> Body {
    Body::GetChannel(client::GetChannel { channel })
}

/// `conversations.list`
pub fn channels(call: &Call) -> Asked {
    let wanted = Wanted::read(&call.args)?;
    Ok(Body::ListChannels(client::ListChannels {
        // Private channels are seen by their members only.
        mine: !wanted.public,
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
        thread_ts: call.args.required_ts("ts", ErrorCode::ThreadNotFound)?.0,
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
        latest_ts: call.args.required_ts("ts", ErrorCode::InvalidArguments)?.0,
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

/// The first of what a call asks, one after the other.
fn first(questions: Vec<Body>) -> Asked {
    let first = questions.into_iter().next();
    Ok(first.ok_or(ErrorCode::InternalError)?)
}

/// What comes after `asked` among these, of which no two are the same.
pub fn after(asked: &Body, questions: Vec<Body>) -> Option<Body> {
    let mut rest = questions.into_iter().skip_while(|body| body != asked);
    rest.nth(1)
}

fn text(args: &Args) -> Result<String, ApiError> {
    let text = args.text("text")?.ok_or(ErrorCode::NoText)?;
    Ok(text.to_owned())
}

fn name(args: &Args) -> Result<String, ApiError> {
    let name = args.text("name")?.ok_or(ErrorCode::InvalidName)?;
    Ok(name.to_owned())
}

/// Which channels `conversations.list` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Public channels.
    pub public: bool,
    /// Private channels of which the caller is a member.
    pub private: bool,
    /// Archived ones among them.
    pub archived: bool,
}

impl Wanted {
    /// Reads the comma-separated list of types. Direct messages, which we have
    /// not, may be asked for as well: there are none.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArguments`] for a type that Slack does not know.
    pub fn read(args: &Args) -> Result<Self, ApiError> {
        let mut wanted = Self {
            public: false,
            private: false,
            archived: !args.flag("exclude_archived")?,
        };
        let text = args.text("types")?.unwrap_or("public_channel");
        for word in text.split(',') {
            match word.trim() {
                "public_channel" => wanted.public = true,
                "private_channel" => wanted.private = true,
                "im" | "mpim" => {}
                _ => {
                    let text = "types may be public_channel, private_channel, im and mpim";
                    return Err(ApiError::new(ErrorCode::InvalidArguments, text));
                }
            }
        }
        Ok(wanted)
    }

    /// Whether this channel is wanted.
    pub fn has(self, channel: &client::Channel) -> bool {
        let is_of_type = match channel.private {
            true => self.private,
            false => self.public,
        };
        is_of_type && (self.archived || !channel.archived)
    }
}
