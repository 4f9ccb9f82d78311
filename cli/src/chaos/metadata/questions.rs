//! The questions whose answers make up all that is shown, and what their answers say.

use anyhow::{bail, ensure};
use causeway_protocol::client::{self, request::Body, response::Result as Answer};
use causeway_protocol::{ChannelId, UserId};

use super::cast::Stage;
use super::item::{Item, State, said, show};

/// Rows of a page: more than there are.
const ROWS: u32 = 1_000;

/// What anybody may ask of a workspace, of all its channels.
pub fn of_workspace(stage: &Stage) -> Vec<Body> {
    let mut questions = vec![
        Body::ListUsers(client::ListUsers {
            limit: ROWS,
            ..client::ListUsers::default()
        }),
        Body::ListEmoji(client::ListEmoji {}),
    ];
    for channel in stage.channels() {
        let get = client::GetChannel { channel: channel.0 };
        questions.push(Body::GetChannel(get));
        questions.extend(of_channel(channel));
    }
    questions
}

/// What may be asked of what is in a channel.
pub fn of_channel(channel: ChannelId) -> [Body; 3] {
    let channel = channel.0;
    [
        Body::ListMembers(client::ListMembers {
            channel,
            limit: ROWS,
            ..client::ListMembers::default()
        }),
        Body::ListPins(client::ListPins { channel }),
        Body::ReadHistory(client::ReadHistory {
            channel,
            with_replies: true,
            limit: ROWS,
            ..client::ReadHistory::default()
        }),
    ]
}

/// What only a user is told.
pub fn of_user() -> [Body; 3] {
    [
        Body::ListStars(client::ListStars {
            limit: ROWS,
            ..client::ListStars::default()
        }),
        Body::ListPreferences(client::ListPreferences {}),
        Body::ListChannels(client::ListChannels {
            mine: true,
            limit: ROWS,
            ..client::ListChannels::default()
        }),
    ]
}

/// Takes in what was answered to a question of `user`.
///
/// # Errors
/// An answer to another question, or one that goes on, or contradicts itself.
pub fn take(
    state: &mut State,
    stage: &Stage,
    user: UserId,
    question: &Body,
    answer: &Answer,
) -> anyhow::Result<()> {
    let cursor = match (question, answer) {
        (Body::ListUsers(_), Answer::Users(page)) => {
            let profiles = page.users.iter().filter_map(|user| user.profile.as_ref());
            profiles.for_each(|it| profile(state, it));
            page.next_cursor.as_str()
        }
        (Body::ListEmoji(_), Answer::Emoji(list)) => {
            list.emoji.iter().for_each(|emoji| {
                let item = emoji_item(stage, &emoji.name);
                show(state, item, vec![emoji.url.clone()]);
            });
            ""
        }
        (Body::GetChannel(_), Answer::Channel(it)) => {
            channel(state, it);
            ""
        }
        (Body::ListMembers(list), Answer::Members(page)) => {
            let channel = ChannelId(list.channel);
            for user in &page.users {
                let user = UserId(*user);
                show(state, Item::Member { channel, user }, there());
            }
            page.next_cursor.as_str()
        }
        (Body::ListPins(_), Answer::Pins(list)) => {
            for pin in &list.pins {
                let (channel, ts) = (ChannelId(pin.channel), pin.ts);
                let by = UserId(pin.pinned_by).to_string();
                show(state, Item::Pin { channel, ts }, vec![by]);
            }
            ""
        }
        (Body::ReadHistory(_), Answer::Messages(page)) => {
            for message in &page.messages {
                reactions(state, message)?;
            }
            page.next_cursor.as_str()
        }
        (Body::ListStars(_), Answer::Stars(list)) => {
            for star in &list.stars {
                let (channel, ts) = (ChannelId(star.channel), star.ts);
                show(state, Item::Star { user, channel, ts }, there());
            }
            list.next_cursor.as_str()
        }
        (Body::ListPreferences(_), Answer::Preferences(list)) => {
            list.preferences
                .iter()
                .for_each(|it| preference(state, user, it));
            ""
        }
        (Body::ListChannels(_), Answer::Channels(page)) => {
            page.channels
                .iter()
                .for_each(|it| own_channel(state, stage, user, it));
            page.next_cursor.as_str()
        }
        _ => bail!("an unexpected answer to {question:?}"),
    };
    ensure!(cursor.is_empty(), "the answer to {question:?} goes on");
    Ok(())
}

/// What is shown of something that is there, and no more than that.
pub fn there() -> Vec<String> {
    vec![String::new()]
}

/// An emoji of a workspace.
pub fn emoji_item(stage: &Stage, name: &str) -> Item {
    Item::Emoji {
        workspace: stage.workspace,
        name: name.to_owned(),
    }
}

/// A channel's own metadata.
pub fn channel(state: &mut State, channel: &client::Channel) {
    let id = ChannelId(channel.id);
    let text = |it: &client::Said| said(&it.text, UserId(it.user));
    let purposes = channel.purpose.iter().chain(&channel.other_purposes);
    show(state, Item::Name(id), vec![channel.name.clone()]);
    let topic = channel.topic.iter().map(text);
    show(state, Item::Topic(id), topic.collect());
    show(state, Item::Purpose(id), purposes.map(text).collect());
    show(
        state,
        Item::Archived(id),
        vec![channel.archived.to_string()],
    );
}

/// A channel of which `user` is a member. How far they have read it is shown of channels
/// that they never leave.
pub fn own_channel(state: &mut State, stage: &Stage, user: UserId, it: &client::Channel) {
    let id = ChannelId(it.id);
    channel(state, it);
    show(state, Item::Member { channel: id, user }, there());
    if stage.steady.contains(&id) {
        let item = Item::ReadCursor { user, channel: id };
        show(state, item, vec![it.read_seq.to_string()]);
    }
}

/// A profile, in place of what was there of it.
pub fn profile(state: &mut State, profile: &client::Profile) {
    let user = UserId(profile.user);
    let first = Item::Field {
        user,
        field: String::new(),
    };
    let fields = state.range(first..).map(|(item, _)| item.clone());
    let is_field = |item: &Item| matches!(item, Item::Field { user: of, .. } if *of == user);
    let fields: Vec<Item> = fields.take_while(is_field).collect();
    for field in fields {
        state.remove(&field);
    }
    for (field, text) in &profile.fields {
        let field = field.clone();
        show(state, Item::Field { user, field }, vec![text.clone()]);
    }
    let statuses = profile.status.iter().chain(&profile.other_statuses);
    let statuses = statuses.map(|status| status.text.clone());
    show(state, Item::Status(user), statuses.collect());
    show(state, Item::Away(user), vec![profile.away.to_string()]);
    let until = profile.do_not_disturb_until_s.to_string();
    show(state, Item::DoNotDisturb(user), vec![until]);
}

/// One of a user's preferences.
pub fn preference(state: &mut State, user: UserId, it: &client::Preference) {
    let name = it.name.clone();
    let item = Item::Preference { user, name };
    show(state, item, vec![it.value.clone()]);
}

fn reactions(state: &mut State, message: &client::Message) -> anyhow::Result<()> {
    let channel = ChannelId(message.channel);
    for reaction in &message.reactions {
        let counted = usize::try_from(reaction.count)?;
        ensure!(
            counted == reaction.users.len(),
            "{counted} are said to react to {channel}/{} with {}, and are {}",
            message.ts,
            reaction.emoji,
            reaction.users.len()
        );
        for user in &reaction.users {
            let item = Item::Reaction {
                channel,
                ts: message.ts,
                emoji: reaction.emoji.clone(),
                user: UserId(*user),
            };
            show(state, item, there());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use causeway_protocol::WorkspaceId;

    use super::*;

    const WORKSPACE: WorkspaceId = WorkspaceId(1);

    #[test]
    fn a_profile_takes_the_place_of_the_one_before() {
        let (ann, bob) = (UserId::new(WORKSPACE, 1), UserId::new(WORKSPACE, 2));
        let with = |user: UserId, field: &str, away| client::Profile {
            user: user.0,
            fields: [(field.to_owned(), "x".to_owned())].into(),
            away,
            ..client::Profile::default()
        };
        let mut state = State::new();
        profile(&mut state, &with(ann, "title", true));
        profile(&mut state, &with(bob, "title", false));
        profile(&mut state, &with(ann, "phone", false));
        let field = |user, field: &str| Item::Field {
            user,
            field: field.to_owned(),
        };
        let items: Vec<Item> = state.into_keys().collect();
        assert_eq!(items, [field(ann, "phone"), field(bob, "title")]);
    }

    #[test]
    fn a_channel_shows_what_was_said_by_whom() {
        let said = |text: &str| client::Said {
            text: text.into(),
            user: UserId::new(WORKSPACE, 1).0,
            ts: 7,
        };
        let id = ChannelId::new(WORKSPACE, 5);
        let mut state = State::new();
        channel(
            &mut state,
            &client::Channel {
                id: id.0,
                name: "general".into(),
                purpose: Some(said("one")),
                other_purposes: vec![said("two")],
                ..client::Channel::default()
            },
        );
        let purposes = &state[&Item::Purpose(id)];
        assert_eq!(purposes[..], ["one (U04000001)", "two (U04000001)"]);
        assert!(!state.contains_key(&Item::Topic(id)));
        assert!(!state.contains_key(&Item::Archived(id)));
    }
}
