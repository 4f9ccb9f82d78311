//! A world of one cell: proposes commands, writes what they change, and keeps
//! what subscribers would be sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use causeway_protocol::backbone::flannel_ask::What;
use causeway_protocol::backbone::{
    EnsureChannel, EnsureUser, FlannelAnswer, FlannelAsk, InitWorkspace,
};
use causeway_protocol::client::request::Body as Question;
use causeway_protocol::client::response::Result as Answer;
use causeway_protocol::client::{self, Channel, Entry, Message, Sent};
use causeway_protocol::{
    CellId, ChannelId, ErrorCode, NodeId, Position, Topic, UserId, WorkspaceId,
};
use prost::Message as _;
use tempfile::TempDir;

use crate::cell::access::{Sources, Stop};
use crate::cell::machine::{CellMachine, Publish};
use crate::cell::metadata::{self, MetadataView, Wish};
use crate::cell::{flannel, query, tables, views};
use crate::consensus::{Machine, Outcome, TopicEntry};
use crate::metadata::hybrid::HybridClock;
use crate::metadata::replica::Replica;
use crate::metadata::tables as metadata_tables;
use crate::metadata::version::Version;
use crate::state::{CellState, ReadState, Row};
use crate::state_records::{Command, UserRecord, command::Body};
use crate::store::table::{Overlay, Table};
use crate::store::{Family, Store};

/// The workspace in which stories take place.
pub const HOME: WorkspaceId = WorkspaceId(1);
/// Another tenant of the same cell.
pub const ABROAD: WorkspaceId = WorkspaceId(2);

pub const SECOND_US: u64 = 1_000_000;
pub const HOUR_US: u64 = 3_600 * SECOND_US;
/// When every story begins.
const DAWN_US: u64 = 1_700_000_000 * SECOND_US;

/// All rows of a state: what two replicas must agree on to the byte.
pub type Rows = Vec<Row>;

/// A disk with room for many worlds, as opening one takes a while.
pub struct Disk {
    store: Store,
    cells: AtomicU32,
    folder: Arc<TempDir>,
}

impl Disk {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            store: Store::open(folder.path()).unwrap(),
            cells: AtomicU32::new(1),
            folder: Arc::new(folder),
        }
    }

    /// A new cell, with nothing in it.
    pub fn cell(&self) -> World {
        let cell = CellId(self.cells.fetch_add(1, Ordering::Relaxed));
        World::open(self.store.clone(), cell, Arc::clone(&self.folder))
    }
}

struct Nobody;

impl Publish for Nobody {
    fn publish(&self, _: CellId, _: Position, _: Vec<TopicEntry>) {}
}

/// One cell, its clock, and what it has told the world.
pub struct World {
    pub state: CellState,
    pub machine: CellMachine,
    pub now_us: u64,
    pub published: Vec<TopicEntry>,
    messages: u64,
    /// How often the node has started.
    life: u64,
    clock: HybridClock,
    folder: Arc<TempDir>,
}

impl World {
    /// A cell with two workspaces, [`HOME`] and [`ABROAD`], on a disk of its own.
    pub fn new() -> Self {
        let mut world = Disk::new().cell();
        world.init(HOME);
        world.init(ABROAD);
        world
    }

    fn open(store: Store, cell: CellId, folder: Arc<TempDir>) -> Self {
        Self {
            state: CellState::open(store, cell).unwrap(),
            machine: CellMachine::new(cell, Arc::new(Nobody)),
            now_us: DAWN_US,
            published: Vec::new(),
            messages: 0,
            life: 1,
            clock: HybridClock::default(),
            folder,
        }
    }

    /// The node stops and starts again.
    pub fn reopened(self) -> Self {
        let Self { state, folder, .. } = self;
        let cell = state.cell();
        drop(state);
        let store = Store::open(folder.path()).unwrap();
        Self {
            now_us: self.now_us,
            messages: self.messages,
            life: self.life + 1,
            clock: self.clock,
            ..Self::open(store, cell, folder)
        }
    }

    /// The command as the log carries it, a millisecond after the last one.
    pub fn command(&mut self, actor: UserId, body: Body) -> Vec<u8> {
        self.now_us += 1_000;
        let command = Command {
            proposed_at_us: self.now_us,
            actor: actor.0,
            body: Some(body),
        };
        command.encode_to_vec()
    }

    /// Applies a command from the log, and writes what it changes.
    pub fn apply(&mut self, command: &[u8]) -> Outcome {
        let mut tx = self.state.tx();
        let command = command.to_vec().into();
        let applied = self.machine.apply(&mut tx, command).unwrap();
        tx.into_batch().write().unwrap();
        self.published.extend(applied.entries);
        applied.outcome
    }

    pub fn run(&mut self, actor: UserId, body: Body) -> Result<Answer, ErrorCode> {
        let command = self.command(actor, body);
        match self.apply(&command) {
            Outcome::Answer(answer) => Ok(*answer),
            Outcome::Refused(error) => Err(error.code),
            Outcome::Done | Outcome::Placed(_) => Ok(Answer::Done(client::Done {})),
            Outcome::Overtaken => panic!("a cell says nothing of the kind"),
        }
    }

    pub fn ask(&self, user: UserId, question: Question) -> Result<Answer, ErrorCode> {
        self.look(user, |sources| query::answer(sources, user, &question))
    }

    /// Answers an edge node, with metadata of this version.
    pub fn flannel(&self, version: &Version, what: What) -> Result<FlannelAnswer, ErrorCode> {
        let ask = FlannelAsk {
            workspace: HOME.0,
            what: Some(what),
            ..FlannelAsk::default()
        };
        self.look(UserId::platform(HOME), |sources| {
            flannel::answer(sources, version, &ask)
        })
    }

    fn metadata(&self, workspace: WorkspaceId) -> Table<'_> {
        let prefix = metadata_tables::shard(self.state.cell(), workspace);
        Table::new(self.state.store(), Family::Metadata, prefix)
    }

    fn look<T>(
        &self,
        user: UserId,
        answer: impl Fn(Sources<'_>) -> Result<T, Stop>,
    ) -> Result<T, ErrorCode> {
        let workspace = user.workspace();
        let metadata = MetadataView::new(workspace, self.metadata(workspace));
        let view = self.state.view();
        let answered = answer(Sources {
            view: &view,
            metadata: &metadata,
        });
        answered.map_err(|stop| match stop {
            Stop::Refused(error) => error.code,
            Stop::Store(error) => panic!("{error}"),
        })
    }

    /// Changes metadata.
    pub fn change(&mut self, user: UserId, change: &Question) -> Result<(), ErrorCode> {
        let wishes = self.look(user, |sources| metadata::wishes(sources, user, change))?;
        self.write(user.workspace(), wishes);
        Ok(())
    }

    /// Writes what is wanted, whether anybody may or not.
    pub fn write(&mut self, workspace: WorkspaceId, wishes: Vec<Wish>) {
        self.now_us += 1_000;
        let mut clock = std::mem::take(&mut self.clock);
        let mut rows = Overlay::new(self.metadata(workspace));
        let mut replica = Replica::open(&rows, NodeId(1), self.life, 0).unwrap();
        for (item, intent) in wishes {
            let written = replica.write(&mut rows, &mut clock, self.now_us, item, intent);
            written.unwrap();
        }
        rows.into_batch().write().unwrap();
        self.clock = clock;
    }

    /// Changes a private channel through the log, and a public one's metadata.
    fn change_either(
        &mut self,
        user: UserId,
        change: Question,
        command: Body,
    ) -> Result<(), ErrorCode> {
        match self.change(user, &change) {
            Err(ErrorCode::NotLeader) => self.run(user, command).map(|_| ()),
            changed => changed,
        }
    }

    /// Whether metadata lets a command pass.
    pub fn admits(&self, user: UserId, command: &Body) -> Result<(), ErrorCode> {
        self.look(user, |sources| {
            metadata::admit(sources, user, command, self.now_us)
        })
    }

    pub fn rows(&self) -> Rows {
        let view = self.state.view();
        let rows = view.scan(&[], &[u8::MAX]).map(|row| row.unwrap());
        rows.map(|(key, value)| (key, value.into_vec())).collect()
    }

    /// All rows of a workspace's metadata.
    pub fn metadata_rows(&self, workspace: WorkspaceId) -> Rows {
        let rows = self.metadata(workspace).scan(&[], &[u8::MAX]);
        let rows = rows.map(|row| row.unwrap());
        rows.map(|(key, value)| (key, value.into_vec())).collect()
    }

    /// How many rows the table has whose keys begin with `number`.
    pub fn rows_of_table(&self, number: u8) -> usize {
        let rows = self.rows();
        rows.iter().filter(|(key, _)| key[0] == number).count()
    }

    // ---- by the platform ----

    pub fn init(&mut self, workspace: WorkspaceId) {
        let init = InitWorkspace {
            workspace: workspace.0,
            name: format!("workspace-{}", workspace.0),
            home_region: "eu-west".into(),
        };
        self.run(UserId(0), Body::InitWorkspace(init)).unwrap();
    }

    pub fn user(&mut self, name: &str) -> UserId {
        self.user_in(HOME, name, false)
    }

    pub fn admin(&mut self, name: &str) -> UserId {
        self.user_in(HOME, name, true)
    }

    pub fn user_in(&mut self, workspace: WorkspaceId, name: &str, admin: bool) -> UserId {
        let ensure = EnsureUser {
            workspace: workspace.0,
            name: name.into(),
            real_name: String::new(),
            admin,
        };
        match self.run(UserId(0), Body::EnsureUser(ensure)) {
            Ok(Answer::User(user)) => UserId(user.id),
            other => panic!("{other:?}"),
        }
    }

    /// No command deactivates a user so far.
    pub fn deactivate(&mut self, user: UserId) {
        let mut tx = self.state.tx();
        let record: Option<UserRecord> = tx.record(&tables::user(user)).unwrap();
        let record = UserRecord {
            deactivated: true,
            ..record.unwrap()
        };
        tx.put(tables::user(user), &record);
        tx.into_batch().write().unwrap();
    }

    pub fn ensure_channel(&mut self, name: &str, members: &[UserId]) -> Result<Channel, ErrorCode> {
        let ensure = EnsureChannel {
            workspace: HOME.0,
            name: name.into(),
            private: false,
            members: members.iter().map(|user| user.0).collect(),
        };
        let channel = channel_in(self.run(UserId(0), Body::EnsureChannel(ensure)))?;
        let (id, platform) = (ChannelId(channel.id), UserId::platform(HOME));
        let wishes = self.look(platform, |sources| {
            metadata::memberships(sources, id, members)
        })?;
        self.write(HOME, wishes);
        self.seen(platform, id)
    }

    fn seen(&self, user: UserId, channel: ChannelId) -> Result<Channel, ErrorCode> {
        let seen = self.look(user, |sources| {
            Ok(views::read_channel(sources, user, channel)?)
        });
        seen?.ok_or(ErrorCode::ChannelNotFound)
    }

    // ---- channels ----

    pub fn create(
        &mut self,
        user: UserId,
        name: &str,
        private: bool,
    ) -> Result<Channel, ErrorCode> {
        let name = name.into();
        let create = Body::CreateChannel(client::CreateChannel { name, private });
        self.admits(user, &create)?;
        let channel = channel_in(self.run(user, create))?;
        if !private {
            self.join(user, ChannelId(channel.id))?;
        }
        self.channel(user, ChannelId(channel.id))
    }

    pub fn public(&mut self, user: UserId, name: &str) -> ChannelId {
        ChannelId(self.create(user, name, false).unwrap().id)
    }

    pub fn private(&mut self, user: UserId, name: &str) -> ChannelId {
        ChannelId(self.create(user, name, true).unwrap().id)
    }

    pub fn join(&mut self, user: UserId, channel: ChannelId) -> Result<Channel, ErrorCode> {
        let join = client::JoinChannel { channel: channel.0 };
        self.change(user, &Question::JoinChannel(join))?;
        self.channel(user, channel)
    }

    pub fn leave(&mut self, user: UserId, channel: ChannelId) -> Result<(), ErrorCode> {
        let leave = client::LeaveChannel { channel: channel.0 };
        self.change_either(
            user,
            Question::LeaveChannel(leave),
            Body::LeaveChannel(leave),
        )
    }

    pub fn kick(&mut self, by: UserId, channel: ChannelId, user: UserId) -> Result<(), ErrorCode> {
        let (channel, user) = (channel.0, user.0);
        let kick = client::KickMember { channel, user };
        self.change_either(by, Question::KickMember(kick), Body::KickMember(kick))
    }

    pub fn invite(
        &mut self,
        by: UserId,
        channel: ChannelId,
        user: UserId,
    ) -> Result<Channel, ErrorCode> {
        let invite = client::InviteMember {
            channel: channel.0,
            user: user.0,
        };
        self.change_either(
            by,
            Question::InviteMember(invite),
            Body::InviteMember(invite),
        )?;
        self.channel(by, channel)
    }

    pub fn mark_read(
        &mut self,
        user: UserId,
        channel: ChannelId,
        seq: u64,
    ) -> Result<(), ErrorCode> {
        let channel = channel.0;
        let mark = client::MarkRead { channel, seq };
        self.change(user, &Question::MarkRead(mark))
    }

    /// The channel as `user` sees it.
    pub fn channel(&self, user: UserId, channel: ChannelId) -> Result<Channel, ErrorCode> {
        let channel = channel.0;
        channel_in(self.ask(user, Question::GetChannel(client::GetChannel { channel })))
    }

    // ---- messages ----

    /// Sends under an id of the client.
    pub fn send(
        &mut self,
        user: UserId,
        channel: ChannelId,
        id: &str,
        text: &str,
    ) -> Result<Sent, ErrorCode> {
        self.send_in_thread(user, channel, id, text, 0)
    }

    /// Sends under a new id; nothing is in the way.
    pub fn post(&mut self, user: UserId, channel: ChannelId, text: &str) -> Sent {
        self.reply(user, channel, 0, text).unwrap()
    }

    /// Sends under a new id, in the thread that starts at `root_ts`.
    pub fn reply(
        &mut self,
        user: UserId,
        channel: ChannelId,
        root_ts: u64,
        text: &str,
    ) -> Result<Sent, ErrorCode> {
        self.messages += 1;
        let id = format!("message-{}", self.messages);
        self.send_in_thread(user, channel, &id, text, root_ts)
    }

    fn send_in_thread(
        &mut self,
        user: UserId,
        channel: ChannelId,
        id: &str,
        text: &str,
        thread_ts: u64,
    ) -> Result<Sent, ErrorCode> {
        let send = client::SendMessage {
            channel: channel.0,
            client_msg_id: id.as_bytes().to_vec().into(),
            text: text.into(),
            thread_ts,
        };
        let send = Body::SendMessage(send);
        self.admits(user, &send)?;
        sent_in(self.run(user, send))
    }

    pub fn edit(
        &mut self,
        user: UserId,
        channel: ChannelId,
        ts: u64,
        text: &str,
    ) -> Result<Sent, ErrorCode> {
        let (channel, text) = (channel.0, text.into());
        let edit = Body::EditMessage(client::EditMessage { channel, ts, text });
        self.admits(user, &edit)?;
        sent_in(self.run(user, edit))
    }

    pub fn delete(&mut self, user: UserId, channel: ChannelId, ts: u64) -> Result<Sent, ErrorCode> {
        let channel = channel.0;
        let delete = Body::DeleteMessage(client::DeleteMessage { channel, ts });
        self.admits(user, &delete)?;
        sent_in(self.run(user, delete))
    }

    // ---- reading ----

    /// What stands in the channel itself, oldest first, in one page.
    pub fn history(&self, user: UserId, channel: ChannelId) -> Result<Vec<Message>, ErrorCode> {
        let read = client::ReadHistory {
            channel: channel.0,
            oldest_first: true,
            ..client::ReadHistory::default()
        };
        self.page(user, Question::ReadHistory(read)).map(|p| p.0)
    }

    /// The texts of [`Self::history`].
    pub fn texts(&self, user: UserId, channel: ChannelId) -> Vec<String> {
        let history = self.history(user, channel).unwrap();
        history.into_iter().map(|message| message.text).collect()
    }

    /// A thread in one page: its root, then the replies.
    pub fn thread(
        &self,
        user: UserId,
        channel: ChannelId,
        root_ts: u64,
    ) -> Result<Vec<Message>, ErrorCode> {
        let read = client::ReadReplies {
            channel: channel.0,
            thread_ts: root_ts,
            ..client::ReadReplies::default()
        };
        self.page(user, Question::ReadReplies(read)).map(|p| p.0)
    }

    /// Messages, and the cursor of the page after.
    pub fn page(
        &self,
        user: UserId,
        question: Question,
    ) -> Result<(Vec<Message>, String), ErrorCode> {
        match self.ask(user, question)? {
            Answer::Messages(page) => Ok((page.messages, page.next_cursor)),
            other => panic!("{other:?}"),
        }
    }

    pub fn read_log(
        &self,
        user: UserId,
        topic: Topic,
        from_seq: u64,
        to_seq: u64,
    ) -> Result<client::LogPage, ErrorCode> {
        let read = client::ReadLog {
            topic: Some(topic.to_wire()),
            from_seq,
            to_seq,
        };
        match self.ask(user, Question::ReadLog(read))? {
            Answer::Log(page) => Ok(page),
            other => panic!("{other:?}"),
        }
    }

    /// The topic's log as far as it goes, in one page.
    pub fn log(&self, user: UserId, topic: Topic) -> Vec<Entry> {
        self.read_log(user, topic, 1, 0).unwrap().entries
    }
}

fn sent_in(answer: Result<Answer, ErrorCode>) -> Result<Sent, ErrorCode> {
    match answer? {
        Answer::Sent(sent) => Ok(sent),
        other => panic!("{other:?}"),
    }
}

fn channel_in(answer: Result<Answer, ErrorCode>) -> Result<Channel, ErrorCode> {
    match answer? {
        Answer::Channel(channel) => Ok(channel),
        other => panic!("{other:?}"),
    }
}
