//! What a client has been told: built up from the start-up data and from facts, as they
//! come, and from nothing else. What facts cannot tell, as the client was not there, is
//! read once: at the start, and when the service says that too much has changed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use causeway_client::{Client, Event};
use causeway_protocol::client::{self, fact::Kind, request::Body};
use causeway_protocol::{ChannelId, UserId};
use futures::future::try_join_all;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::cast::Stage;
use super::item::{Item, State, show};
use super::questions::{self, there};

/// Between tries to read what does not answer.
const READ_PAUSE: std::time::Duration = std::time::Duration::from_millis(200);

/// A reaction that a client was told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sight {
    /// Whose, to what.
    pub item: Item,
    /// When the client was told.
    pub at: Instant,
}

/// What has changed a view.
#[derive(Debug, Clone)]
pub struct Change {
    /// When.
    pub at: Instant,
    /// What it was.
    pub what: String,
}

impl Change {
    fn now(what: &str) -> Self {
        Self {
            at: Instant::now(),
            what: what.into(),
        }
    }

    fn told(of: &impl std::fmt::Debug, at: Instant) -> Self {
        let what = format!("was told {of:?}");
        Self { at, what }
    }
}

/// What a client knows.
pub struct View {
    stage: Arc<Stage>,
    user: UserId,
    state: State,
    /// Channels of which it has known all ever since it read them.
    whole: BTreeSet<ChannelId>,
    /// Facts that came while it was reading: the last that comes is right.
    meanwhile: Option<Vec<client::Fact>>,
    /// How often it has begun to read.
    readings: u64,
    /// When it did so last.
    reading_since: Instant,
    /// What it was told, the last time, that it may not have known.
    change: Change,
    /// Reactions that were told to be there.
    sights: Vec<Sight>,
    told: u64,
    told_again: u64,
    went_back: u64,
    breaks: u64,
    stopped: Option<String>,
}

/// A client's view; clones share it.
#[derive(Clone)]
pub struct Shared(Arc<Mutex<View>>);

impl View {
    /// Of a client of `user`.
    pub fn new(stage: Arc<Stage>, user: UserId) -> Self {
        Self {
            stage,
            user,
            state: State::new(),
            whole: BTreeSet::new(),
            meanwhile: None,
            readings: 0,
            reading_since: Instant::now(),
            change: Change::now("begun"),
            sights: Vec::new(),
            told: 0,
            told_again: 0,
            went_back: 0,
            breaks: 0,
            stopped: None,
        }
    }

    /// What it must know, of all that replicas show: what is told to everybody, what is
    /// told to its user, and what is in its user's channels, as far as it was there.
    pub fn due(&self, shown: &State) -> State {
        let is_own = |item: &Item| match item {
            Item::Member { channel, user } => self.knows_all_of(*channel) || *user == self.user,
            Item::Reaction { channel, .. } | Item::Pin { channel, .. } => {
                self.knows_all_of(*channel)
            }
            item => match (item.channel(), item.owner()) {
                (Some(channel), _) => {
                    let user = self.user;
                    shown.contains_key(&Item::Member { channel, user })
                }
                (_, Some(owner)) => owner == self.user,
                _ => true,
            },
        };
        let due = shown.iter().filter(|(item, _)| is_own(item));
        due.map(|(item, shown)| (item.clone(), shown.clone()))
            .collect()
    }

    /// What it knows of that.
    pub fn known(&self) -> State {
        self.due(&self.state)
    }

    /// Facts that it was told.
    pub fn told(&self) -> u64 {
        self.told
    }

    /// Of these: what it had been told already.
    pub fn told_again(&self) -> u64 {
        self.told_again
    }

    /// Of these: read cursors before where they had been.
    pub fn went_back(&self) -> u64 {
        self.went_back
    }

    /// How often its connection broke.
    pub fn breaks(&self) -> u64 {
        self.breaks
    }

    /// Why it has ended, if it has.
    pub fn stopped(&self) -> Option<&str> {
        self.stopped.as_deref()
    }

    /// Since when it has known what it knows, at the latest.
    pub fn change(&self) -> &Change {
        &self.change
    }

    /// Whether it waits for what it reads.
    pub fn is_reading(&self) -> bool {
        self.meanwhile.is_some()
    }

    /// Reactions that it was told of.
    pub fn sights(&self) -> &[Sight] {
        &self.sights
    }

    fn knows_all_of(&self, channel: ChannelId) -> bool {
        self.whole.contains(&channel)
    }

    /// Begins to read everything; returns which reading it is.
    fn begin_reading(&mut self) -> u64 {
        self.meanwhile = Some(Vec::new());
        self.readings += 1;
        self.reading_since = Instant::now();
        self.readings
    }

    /// Has read everything. Facts that came meanwhile may be later than that.
    fn end_reading(&mut self, reading: u64, state: State) {
        if reading != self.readings {
            return;
        }
        let user = self.user;
        let is_member = |c: &ChannelId| {
            let channel = *c;
            state.contains_key(&Item::Member { channel, user })
        };
        self.whole = self.stage.channels().filter(is_member).collect();
        self.state = state;
        let now = Instant::now();
        let took = now.duration_since(self.reading_since);
        self.change = Change::now(&format!("has read everything, in {took:.3?}"));
        for fact in self.meanwhile.take().into_iter().flatten() {
            self.take(fact, now);
        }
    }

    /// Connected again: which channels there are, and how they are.
    fn booted(&mut self, boot: &client::BootData) {
        self.change = Change::now("has connected");
        let there: BTreeSet<ChannelId> = boot.channels.iter().map(|c| ChannelId(c.id)).collect();
        let channels: Vec<ChannelId> = self.stage.channels().collect();
        for gone in channels
            .into_iter()
            .filter(|channel| !there.contains(channel))
        {
            self.leave(gone);
        }
        boot.channels.iter().for_each(|channel| self.join(channel));
        let profile = boot.self_.as_ref().and_then(|user| user.profile.as_ref());
        profile
            .into_iter()
            .for_each(|it| questions::profile(&mut self.state, it));
    }

    fn tell(&mut self, push: client::MetadataPush, at: Instant) {
        for fact in push.facts {
            self.told += 1;
            if let Some(Kind::Reaction(reaction)) = &fact.kind
                && !reaction.removed
            {
                let item = reaction_item(reaction);
                self.sights.push(Sight { item, at });
            }
            match &mut self.meanwhile {
                Some(meanwhile) => meanwhile.push(fact.clone()),
                None => self.compare(&fact),
            }
            self.take(fact, at);
        }
    }

    /// Counts facts that come again, or late.
    fn compare(&mut self, fact: &client::Fact) {
        let Some((item, shown)) = self.one(fact) else {
            return;
        };
        self.told_again += u64::from(self.knows(&item, &shown));
        self.went_back += u64::from(self.is_before(&item, &shown));
    }

    fn knows(&self, item: &Item, shown: &[String]) -> bool {
        self.state.get(item).map_or(&[][..], Vec::as_slice) == shown
    }

    /// Whether it is a read cursor before where that is known to be.
    fn is_before(&self, item: &Item, shown: &[String]) -> bool {
        let seq = |shown: &[String]| shown.first().and_then(|seq| seq.parse::<u64>().ok());
        let known = self.state.get(item).and_then(|known| seq(known));
        matches!(item, Item::ReadCursor { .. }) && seq(shown) < known
    }

    fn take(&mut self, fact: client::Fact, at: Instant) {
        if let Some((item, shown)) = self.one(&fact) {
            if !self.is_before(&item, &shown) && !self.knows(&item, &shown) {
                self.change = Change::told(&item, at);
                show(&mut self.state, item, shown);
            }
            return;
        }
        self.change = Change::told(&fact.kind, at);
        match fact.kind {
            Some(Kind::Channel(it)) => questions::channel(&mut self.state, &it),
            Some(Kind::Joined(it)) => self.join(&it),
            Some(Kind::Left(channel)) => self.leave(ChannelId(channel)),
            Some(Kind::Preference(it)) => {
                questions::preference(&mut self.state, self.user, &it);
            }
            Some(Kind::Profile(it)) => questions::profile(&mut self.state, &it),
            _ => {}
        }
    }

    /// What a fact about one thing says of it.
    fn one(&self, fact: &client::Fact) -> Option<(Item, Vec<String>)> {
        let user = self.user;
        let if_there = |is_there| if is_there { there() } else { Vec::new() };
        Some(match fact.kind.as_ref()? {
            Kind::Reaction(it) => (reaction_item(it), if_there(!it.removed)),
            Kind::Pin(it) => {
                let (channel, ts) = (ChannelId(it.channel), it.ts);
                let by = (!it.removed).then(|| UserId(it.user).to_string());
                (Item::Pin { channel, ts }, by.into_iter().collect())
            }
            Kind::Member(it) => {
                let (channel, user) = (ChannelId(it.channel), UserId(it.user));
                (Item::Member { channel, user }, if_there(!it.left))
            }
            Kind::ReadCursor(it) => {
                let channel = ChannelId(it.channel);
                if !self.stage.steady.contains(&channel) {
                    return None;
                }
                (Item::ReadCursor { user, channel }, vec![it.seq.to_string()])
            }
            Kind::Star(it) => {
                let (channel, ts) = (ChannelId(it.channel), it.ts);
                (Item::Star { user, channel, ts }, if_there(!it.removed))
            }
            Kind::Emoji(it) => {
                let item = questions::emoji_item(&self.stage, &it.name);
                let url = (!it.removed).then(|| it.url.clone());
                (item, url.into_iter().collect())
            }
            _ => return None,
        })
    }

    fn join(&mut self, channel: &client::Channel) {
        questions::own_channel(&mut self.state, &self.stage, self.user, channel);
    }

    /// Of a channel that it is not in, it is told nothing.
    fn leave(&mut self, channel: ChannelId) {
        self.whole.remove(&channel);
        let is_of = |item: &Item| item.channel() == Some(channel);
        self.state.retain(|item, _| !is_of(item));
    }
}

fn reaction_item(reaction: &client::ReactionFact) -> Item {
    Item::Reaction {
        channel: ChannelId(reaction.channel),
        ts: reaction.ts,
        emoji: reaction.emoji.clone(),
        user: UserId(reaction.user),
    }
}

impl Shared {
    /// Begins with what the client is told from now on, once it has read what there is.
    pub async fn begin(
        stage: Arc<Stage>,
        user: UserId,
        client: Client,
        events: mpsc::Receiver<Event>,
    ) -> Self {
        let view = Self(Arc::new(Mutex::new(View::new(stage, user))));
        let reading = view.0.lock().begin_reading();
        tokio::spawn(view.clone().follow(client.clone(), events));
        view.read(&client, reading).await;
        view
    }

    /// Looks at it.
    pub fn look<T>(&self, at: impl FnOnce(&View) -> T) -> T {
        at(&self.0.lock())
    }

    /// Until the client is gone.
    async fn follow(self, client: Client, mut events: mpsc::Receiver<Event>) {
        while let Some(event) = events.recv().await {
            let mut view = self.0.lock();
            match event {
                Event::Connected { boot, .. } => view.booted(&boot),
                Event::Metadata { push, .. } if push.start_over => {
                    let reading = view.begin_reading();
                    let (view, client) = (self.clone(), client.clone());
                    tokio::spawn(async move { view.read(&client, reading).await });
                }
                Event::Metadata { push, at } => view.tell(*push, at),
                Event::State(step) if step.to.is_seeking() => view.breaks += 1,
                Event::Stopped(error) => view.stopped = Some(error.to_string()),
                Event::State(_)
                | Event::Entry { .. }
                | Event::Sent { .. }
                | Event::Typing { .. }
                | Event::Custom { .. }
                | Event::Counter { .. }
                | Event::Presence { .. }
                | Event::Introduced { .. } => {}
            }
        }
    }

    /// Reads everything, however often that takes.
    async fn read(&self, client: &Client, reading: u64) {
        let (stage, user) = self.look(|view| (Arc::clone(&view.stage), view.user));
        loop {
            match read_all(client, &stage, user).await {
                Ok(state) => return self.0.lock().end_reading(reading, state),
                Err(_) if self.look(|view| view.stopped.is_some()) => return,
                Err(_) => tokio::time::sleep(READ_PAUSE).await,
            }
        }
    }
}

/// All that a client can ask for: of channels, what is in its own.
async fn read_all(client: &Client, stage: &Stage, user: UserId) -> anyhow::Result<State> {
    let mut state = State::new();
    let of_workspace = questions::of_workspace(stage).into_iter();
    let of_all =
        of_workspace.filter(|body| matches!(body, Body::ListUsers(_) | Body::ListEmoji(_)));
    let first: Vec<Body> = of_all.chain(questions::of_user()).collect();
    ask_all(client, &mut state, stage, user, first).await?;
    let own = |channel: &ChannelId| {
        let channel = *channel;
        state.contains_key(&Item::Member { channel, user })
    };
    let own: Vec<ChannelId> = stage.channels().filter(own).collect();
    let later = own.into_iter().flat_map(questions::of_channel).collect();
    ask_all(client, &mut state, stage, user, later).await?;
    Ok(state)
}

/// All at once: it may be an ocean away.
async fn ask_all(
    client: &Client,
    state: &mut State,
    stage: &Stage,
    user: UserId,
    bodies: Vec<Body>,
) -> anyhow::Result<()> {
    let answers = bodies.iter().map(|body| client.request(body.clone()));
    let answers = try_join_all(answers).await?;
    for (body, answer) in bodies.iter().zip(answers) {
        questions::take(state, stage, user, body, &answer)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use causeway_protocol::WorkspaceId;

    use super::*;

    const WORKSPACE: WorkspaceId = WorkspaceId(1);

    fn channel(n: u32) -> ChannelId {
        ChannelId::new(WORKSPACE, n)
    }

    fn user(n: u32) -> UserId {
        UserId::new(WORKSPACE, n)
    }

    fn member(c: u32, u: u32) -> Item {
        Item::Member {
            channel: channel(c),
            user: user(u),
        }
    }

    fn stage() -> Arc<Stage> {
        Arc::new(Stage {
            workspace: WORKSPACE,
            home: "us".parse().unwrap(),
            users: vec![user(1), user(2)],
            steady: vec![channel(1)],
            open: vec![channel(2)],
            shelf: channel(3),
            posts: BTreeMap::new(),
        })
    }

    /// User 2, who was in channels 1 and 2 when they read everything.
    fn view() -> View {
        let mut view = View::new(stage(), user(2));
        let reading = view.begin_reading();
        let mut state = State::new();
        for item in [member(1, 1), member(1, 2), member(2, 1), member(2, 2)] {
            show(&mut state, item, there());
        }
        view.end_reading(reading, state);
        view
    }

    fn told(view: &mut View, kinds: Vec<Kind>) {
        let fact = |kind| client::Fact { kind: Some(kind) };
        let push = client::MetadataPush {
            facts: kinds.into_iter().map(fact).collect(),
            ..client::MetadataPush::default()
        };
        view.tell(push, Instant::now());
    }

    fn reaction(c: u32, removed: bool) -> Kind {
        Kind::Reaction(client::ReactionFact {
            channel: channel(c).0,
            ts: 5,
            emoji: "tada".into(),
            user: user(1).0,
            removed,
        })
    }

    fn joined(c: u32) -> Kind {
        Kind::Joined(client::Channel {
            id: channel(c).0,
            name: "again".into(),
            ..client::Channel::default()
        })
    }

    #[test]
    fn facts_add_up_and_the_last_is_right() {
        let mut view = view();
        told(&mut view, vec![reaction(1, false)]);
        assert_eq!(view.known().len(), 5);
        told(&mut view, vec![reaction(1, true), reaction(1, true)]);
        assert_eq!(view.known().len(), 4);
        assert_eq!((view.told(), view.sights().len()), (3, 1));
    }

    #[test]
    fn what_comes_again_is_counted_and_so_is_a_cursor_that_goes_back() {
        let mut view = view();
        let read = |seq| {
            Kind::ReadCursor(client::ReadCursor {
                channel: channel(1).0,
                seq,
            })
        };
        told(&mut view, vec![reaction(1, false), read(5), read(9)]);
        assert_eq!((view.told_again(), view.went_back()), (0, 0));
        told(&mut view, vec![reaction(1, false), read(9)]);
        assert_eq!((view.told_again(), view.went_back()), (2, 0));
        told(&mut view, vec![reaction(1, true), read(5)]);
        assert_eq!((view.told_again(), view.went_back()), (2, 1));
    }

    #[test]
    fn what_is_told_again_does_not_change_since_when_it_is_known() {
        let mut view = view();
        told(&mut view, vec![reaction(1, false)]);
        let known_since = view.change().at;
        told(&mut view, vec![reaction(1, false)]);
        assert_eq!(view.change().at, known_since);
        told(&mut view, vec![reaction(1, true)]);
        assert!(view.change().at > known_since);
    }

    #[test]
    fn of_a_channel_that_was_left_only_what_is_told_afterwards_is_due() {
        let mut view = view();
        told(&mut view, vec![Kind::Left(channel(2).0), joined(2)]);
        let mut shown = State::new();
        for item in [member(2, 1), member(2, 2), Item::Name(channel(2))] {
            show(&mut shown, item, vec!["again".into()]);
        }
        let due: Vec<Item> = view.due(&shown).into_keys().collect();
        assert_eq!(due, [member(2, 2), Item::Name(channel(2))]);
        assert_eq!(view.known()[&Item::Name(channel(2))], ["again"]);
    }

    #[test]
    fn what_comes_while_everything_is_read_is_not_lost_and_an_old_reading_is() {
        let mut view = view();
        let first = view.begin_reading();
        let second = view.begin_reading();
        told(&mut view, vec![reaction(1, false)]);
        view.end_reading(first, State::new());
        assert!(view.is_reading());
        let read = State::from([(member(1, 2), there())]);
        view.end_reading(second, read);
        assert!(!view.is_reading());
        assert_eq!(view.known().len(), 2);
    }

    #[test]
    fn whoever_connects_again_knows_which_channels_are_gone() {
        let mut view = view();
        let boot = client::BootData {
            channels: vec![client::Channel {
                id: channel(1).0,
                ..client::Channel::default()
            }],
            ..client::BootData::default()
        };
        view.booted(&boot);
        assert!(!view.known().contains_key(&member(2, 2)));
        assert!(view.known().contains_key(&member(1, 1)));
    }
}
