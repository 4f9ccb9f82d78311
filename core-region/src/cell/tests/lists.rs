//! Lists of channels, members and users: in pages, and never another tenant's.

use causeway_protocol::client::request::Body as Question;
use causeway_protocol::client::response::Result as Answer;
use causeway_protocol::client::{GetUser, ListChannels, ListMembers, ListStars, ListUsers, Star};
use causeway_protocol::{ChannelId, ErrorCode, UserId};

use super::world::{ABROAD, HOME, World};
use crate::cell::cursor::{Cursor, Kind};

/// A list by its ids, a page at a time.
#[derive(Clone, Copy)]
enum List {
    Channels { mine: bool },
    Members(ChannelId),
    Users,
}

impl List {
    fn page(
        self,
        world: &World,
        user: UserId,
        limit: u32,
        cursor: &str,
    ) -> Result<(Vec<u64>, String), ErrorCode> {
        let cursor = cursor.to_owned();
        let question = match self {
            Self::Channels { mine } => Question::ListChannels(ListChannels {
                mine,
                limit,
                cursor,
            }),
            Self::Members(channel) => Question::ListMembers(ListMembers {
                channel: channel.0,
                limit,
                cursor,
            }),
            Self::Users => Question::ListUsers(ListUsers { limit, cursor }),
        };
        Ok(match world.ask(user, question)? {
            Answer::Channels(page) => {
                let ids = page.channels.iter().map(|channel| channel.id);
                (ids.collect(), page.next_cursor)
            }
            Answer::Members(page) => (page.users, page.next_cursor),
            Answer::Users(page) => {
                let ids = page.users.iter().map(|user| user.id);
                (ids.collect(), page.next_cursor)
            }
            other => panic!("{other:?}"),
        })
    }

    /// All of it, in pages of `limit`.
    fn all(self, world: &World, user: UserId, limit: u32) -> Vec<u64> {
        let (mut ids, mut cursor) = (Vec::new(), String::new());
        loop {
            let (page, next) = self.page(world, user, limit, &cursor).unwrap();
            assert!(page.len() <= limit as usize);
            ids.extend(page);
            if next.is_empty() {
                return ids;
            }
            cursor = next;
        }
    }
}

/// Two workspaces in one cell, with their people and channels made in turns.
struct Neighbours {
    world: World,
    ours: Vec<UserId>,
    theirs: Vec<UserId>,
    channels: Vec<ChannelId>,
    private: Vec<ChannelId>,
}

fn neighbours() -> Neighbours {
    let mut world = World::new();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for n in 0..7 {
        ours.push(world.user(&format!("user-{n}")));
        theirs.push(world.user_in(ABROAD, &format!("user-{n}"), false));
    }
    let (mut channels, mut private) = (Vec::new(), Vec::new());
    for n in 0..5 {
        let (public, secret) = (format!("public-{n}"), format!("secret-{n}"));
        channels.push(world.public(ours[n], &public));
        private.push(world.private(ours[n], &secret));
        world.public(theirs[n], &public);
        world.private(theirs[n], &secret);
    }
    for &user in &ours[1..] {
        world.join(user, channels[0]).unwrap();
    }
    Neighbours {
        world,
        ours,
        theirs,
        channels,
        private,
    }
}

fn users(ids: &[UserId]) -> Vec<u64> {
    ids.iter().map(|id| id.0).collect()
}

fn channels(ids: &[ChannelId]) -> Vec<u64> {
    ids.iter().map(|id| id.0).collect()
}

#[test]
fn every_page_size_lists_each_row_once_and_in_order() {
    let Neighbours {
        world,
        ours,
        channels: public,
        private,
        ..
    } = neighbours();
    let me = ours[2];
    let mut visible = channels(&public);
    visible.push(private[2].0);
    visible.sort_unstable();
    let mine = [public[0].0, public[2].0, private[2].0];
    for limit in 1..=9 {
        assert_eq!(List::Users.all(&world, me, limit), users(&ours));
        let members = List::Members(public[0]).all(&world, me, limit);
        assert_eq!(members, users(&ours));
        let all = List::Channels { mine: false }.all(&world, me, limit);
        assert_eq!(all, visible);
        let own = List::Channels { mine: true }.all(&world, me, limit);
        assert_eq!(own, mine);
    }
}

#[test]
fn no_cursor_leads_to_another_workspace() {
    let Neighbours {
        world,
        ours,
        theirs,
        channels: public,
        ..
    } = neighbours();
    let (me, other) = (ours[0], theirs[0]);
    let edges = [0, 1, u64::from(u32::MAX), u64::MAX - 1, u64::MAX];
    let ids = users(&ours).into_iter().chain(users(&theirs)).chain(edges);
    for at in ids {
        let cursor = Cursor::write(Kind::Id, at);
        for list in [
            List::Users,
            List::Channels { mine: false },
            List::Channels { mine: true },
        ] {
            for user in [me, other] {
                let (page, _) = list.page(&world, user, 100, &cursor).unwrap();
                let at_home = |id: &u64| UserId(*id).workspace() == user.workspace();
                assert!(page.iter().all(at_home), "{at:x}");
            }
        }
        let members = List::Members(public[0]);
        let (page, _) = members.page(&world, me, 100, &cursor).unwrap();
        assert!(page.iter().all(|id| users(&ours).contains(id)));
        let foreign = members.page(&world, other, 100, &cursor);
        assert_eq!(foreign, Err(ErrorCode::ChannelNotFound));
    }
}

#[test]
fn cursors_of_other_lists_are_refused() {
    let Neighbours { world, ours, .. } = neighbours();
    for cursor in [Cursor::write(Kind::Ts, 1), "U00000001".into()] {
        for list in [List::Users, List::Channels { mine: true }] {
            let page = list.page(&world, ours[0], 1, &cursor);
            assert_eq!(page, Err(ErrorCode::InvalidCursor));
        }
    }
}

#[test]
fn those_who_leave_are_no_longer_listed() {
    let mut world = World::new();
    let (ann, bob) = (world.user("ann"), world.user("bob"));
    let general = world.public(ann, "general");
    world.join(bob, general).unwrap();
    world.leave(ann, general).unwrap();
    assert_eq!(List::Members(general).all(&world, ann, 10), [bob.0]);
    let mine = List::Channels { mine: true };
    assert!(mine.all(&world, ann, 10).is_empty());
    assert_eq!(mine.all(&world, bob, 10), [general.0]);
}

#[test]
fn users_are_found_within_their_workspace() {
    let mut world = World::new();
    let (ann, root) = (world.user("ann"), world.admin("root"));
    let eve = world.user_in(ABROAD, "eve", false);
    world.deactivate(ann);
    let get = |by: UserId, user: UserId| {
        let question = Question::GetUser(GetUser { user: user.0 });
        world.ask(by, question).map(|answer| match answer {
            Answer::User(user) => (user.name, user.admin, user.deactivated),
            other => panic!("{other:?}"),
        })
    };
    assert_eq!(get(root, root), Ok(("root".into(), true, false)));
    assert_eq!(get(root, ann), Ok(("ann".into(), false, true)));
    assert_eq!(get(root, eve), Err(ErrorCode::UserNotFound));
    let unborn = UserId::new(HOME, 99);
    assert_eq!(get(root, unborn), Err(ErrorCode::UserNotFound));
}

#[test]
fn stars_in_channels_that_are_not_seen_any_more_end_no_list() {
    let mut world = World::new();
    let (ann, ben) = (world.user("ann"), world.user("ben"));
    let secret = world.private(ben, "secret");
    world.invite(ben, secret, ann).unwrap();
    let open = ["a", "b", "c", "d"].map(|name| world.public(ben, name));
    for channel in [[secret].as_slice(), open.as_slice()].concat() {
        let star = Star {
            channel: channel.0,
            ..Star::default()
        };
        world.change(ann, &Question::Star(star)).unwrap();
    }
    world.leave(ann, secret).unwrap();
    for limit in 1..=5 {
        let (mut starred, mut cursor) = (Vec::new(), String::new());
        loop {
            let ask = Question::ListStars(ListStars { limit, cursor });
            let Ok(Answer::Stars(page)) = world.ask(ann, ask) else {
                panic!("no list");
            };
            starred.extend(page.stars.iter().map(|star| ChannelId(star.channel)));
            cursor = page.next_cursor;
            if cursor.is_empty() {
                break;
            }
        }
        assert_eq!(starred, open, "in pages of {limit}");
    }
}
