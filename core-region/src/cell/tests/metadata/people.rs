//! What users tell of themselves, what they prefer, and the emoji of their workspace.

use causeway_protocol::client::response::Result as Answer;
use causeway_protocol::client::{GetUser, ListEmoji, ListPreferences, Profile, Status};
use causeway_protocol::limits::{EMOJI_MAX, PREFERENCES_MAX, PROFILE_FIELDS_MAX};

use super::*;

/// The profile of `of`, as `user` sees it.
fn profile(world: &World, user: UserId, of: UserId) -> Profile {
    match world.ask(user, Question::GetUser(GetUser { user: of.0 })) {
        Ok(Answer::User(user)) => user.profile.unwrap(),
        other => panic!("{other:?}"),
    }
}

fn fields(world: &World, user: UserId) -> Vec<(String, String)> {
    profile(world, user, user).fields.into_iter().collect()
}

fn preferences(world: &World, user: UserId) -> Vec<(String, String)> {
    match world.ask(user, Question::ListPreferences(ListPreferences {})) {
        Ok(Answer::Preferences(list)) => {
            let preferences = list.preferences.into_iter();
            preferences.map(|it| (it.name, it.value)).collect()
        }
        other => panic!("{other:?}"),
    }
}

fn emoji(world: &World, user: UserId) -> Vec<(String, String)> {
    match world.ask(user, Question::ListEmoji(ListEmoji {})) {
        Ok(Answer::Emoji(list)) => {
            let emoji = list.emoji.into_iter();
            emoji.map(|it| (it.name, it.url)).collect()
        }
        other => panic!("{other:?}"),
    }
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let pairs = pairs.iter();
    pairs
        .map(|(one, two)| ((*one).to_owned(), (*two).to_owned()))
        .collect()
}

#[test]
fn what_is_so_already_is_not_written_again() {
    let Scene { mut world, ann, .. } = scene();
    for request in own() {
        done(&mut world, ann, &request);
        in_vain(&mut world, ann, &request);
    }
}

#[test]
fn a_profile_is_seen_in_its_workspace_and_is_its_users_alone() {
    let Scene {
        mut world,
        ann,
        bob,
        ..
    } = scene();
    let eve = world.user_in(ABROAD, "eve", false);
    // Numbers within a workspace are the same in each.
    assert_eq!(eve.number(), ann.number());
    for request in own() {
        done(&mut world, ann, &request);
    }
    let status = Status {
        text: "at lunch".into(),
        emoji: "ramen".into(),
        expires_at_s: 2_000_000_000,
    };
    let expected = Profile {
        user: ann.0,
        fields: pairs(&[("title", "cook")]).into_iter().collect(),
        status: Some(status),
        other_statuses: Vec::new(),
        away: true,
        do_not_disturb_until_s: 2_000_000_000,
    };
    assert_eq!(profile(&world, bob, ann), expected);
    assert_eq!(preferences(&world, ann), pairs(&[("theme", "dark")]));
    for other in [bob, eve] {
        let untold = Profile {
            user: other.0,
            ..Profile::default()
        };
        assert_eq!(profile(&world, other, other), untold);
        assert!(preferences(&world, other).is_empty());
    }
    assert_eq!(emoji(&world, bob).len(), 1);
    assert!(emoji(&world, eve).is_empty());
}

#[test]
fn fields_that_are_not_named_stay_and_empty_ones_go() {
    let Scene { mut world, ann, .. } = scene();
    let both = set_profile(&[("title", "cook"), ("team", "kitchen")]);
    done(&mut world, ann, &both);
    done(&mut world, ann, &set_profile(&[("title", "chef")]));
    let expected = [("team", "kitchen"), ("title", "chef")];
    assert_eq!(fields(&world, ann), pairs(&expected));

    let other = set_profile(&[("team", ""), ("pronouns", "they")]);
    done(&mut world, ann, &other);
    let expected = [("pronouns", "they"), ("title", "chef")];
    assert_eq!(fields(&world, ann), pairs(&expected));
    in_vain(&mut world, ann, &set_profile(&[]));
}

#[test]
fn a_profile_has_so_many_fields() {
    let Scene {
        mut world,
        ann,
        bob,
        ..
    } = scene();
    let names: Vec<_> = (0..=PROFILE_FIELDS_MAX)
        .map(|n| format!("field-{n:02}"))
        .collect();
    let all: Vec<_> = names.iter().map(|name| (name.as_str(), "x")).collect();
    let (one_more, most) = all.split_last().unwrap();
    let too_many: fn(&[(&str, &str)]) -> _ =
        |fields| vec![(set_profile(fields), ErrorCode::TooMany)];
    refused(&mut world, ann, too_many(&all));
    done(&mut world, ann, &set_profile(most));

    refused(&mut world, ann, too_many(&[*one_more]));
    // All of a request, or nothing of it.
    refused(&mut world, ann, too_many(&[(most[0].0, "y"), *one_more]));
    done(&mut world, ann, &set_profile(&[(most[0].0, "y")]));
    // One that was emptied counts.
    done(&mut world, ann, &set_profile(&[(most[0].0, "")]));
    assert_eq!(fields(&world, ann).len(), PROFILE_FIELDS_MAX - 1);
    refused(&mut world, ann, too_many(&[*one_more]));
    done(&mut world, bob, &set_profile(&[*one_more]));
}

#[test]
fn a_status_is_set_as_a_whole() {
    let Scene { mut world, ann, .. } = scene();
    let status = |world: &World| {
        let status = profile(world, ann, ann).status.unwrap_or_default();
        (status.text, status.emoji, status.expires_at_s)
    };
    for (text, emoji, expires_at_s) in [
        ("at lunch", "ramen", 2_000_000_000),
        ("cooking", "", 0),
        ("", "", 0),
    ] {
        done(&mut world, ann, &set_status(text, emoji, expires_at_s));
        let expected = (text.to_owned(), emoji.to_owned(), expires_at_s);
        assert_eq!(status(&world), expected);
    }
}

#[test]
fn away_and_do_not_disturb_end() {
    let Scene {
        mut world,
        ann,
        bob,
        ..
    } = scene();
    let seen = |world: &World| {
        let profile = profile(world, bob, ann);
        (profile.away, profile.do_not_disturb_until_s)
    };
    for (request, expected) in [
        (set_away(true), (true, 0)),
        (set_do_not_disturb(2_000_000_000), (true, 2_000_000_000)),
        (set_away(false), (false, 2_000_000_000)),
        (set_do_not_disturb(0), (false, 0)),
    ] {
        done(&mut world, ann, &request);
        assert_eq!(seen(&world), expected, "{request:?}");
    }
}

#[test]
fn a_preference_is_emptied_and_stays() {
    let Scene { mut world, ann, .. } = scene();
    for (name, value) in [("theme", "dark"), ("lang", "de"), ("theme", "")] {
        done(&mut world, ann, &set_preference(name, value));
    }
    let expected = pairs(&[("lang", "de"), ("theme", "")]);
    assert_eq!(preferences(&world, ann), expected);
}

#[test]
fn a_user_has_so_many_preferences() {
    let Scene {
        mut world,
        ann,
        bob,
        ..
    } = scene();
    let user = ann.number();
    let others = (1..PREFERENCES_MAX).map(|n| Item::Preference {
        user,
        name: format!("other-{n}"),
    });
    let on = Intent::Set(Bytes::from_static(b"on"));
    fill(&mut world, others, &on);
    done(&mut world, ann, &set_preference("last", "on"));
    assert_eq!(preferences(&world, ann).len(), PREFERENCES_MAX);

    let one_more = set_preference("one-more", "on");
    refused(
        &mut world,
        ann,
        vec![(one_more.clone(), ErrorCode::TooMany)],
    );
    done(&mut world, ann, &set_preference("last", "off"));
    done(&mut world, bob, &one_more);
}

#[test]
fn any_user_adds_changes_and_removes_an_emoji() {
    let Scene {
        mut world,
        ann,
        bob,
        cid,
        ..
    } = scene();
    let remove = set_emoji("parrot", "", REMOVE);
    let none = vec![(remove.clone(), ErrorCode::EmojiNotFound)];
    refused(&mut world, ann, none.clone());
    done(
        &mut world,
        ann,
        &set_emoji("parrot", "https://a.example", ADD),
    );
    done(
        &mut world,
        ann,
        &set_emoji("blob", "https://c.example", ADD),
    );
    // The same picture once more only tells who has added it now.
    done(
        &mut world,
        bob,
        &set_emoji("parrot", "https://a.example", ADD),
    );
    done(
        &mut world,
        bob,
        &set_emoji("parrot", "https://b.example", ADD),
    );
    let expected = [
        ("blob", "https://c.example"),
        ("parrot", "https://b.example"),
    ];
    assert_eq!(emoji(&world, cid), pairs(&expected));

    done(&mut world, cid, &remove);
    refused(&mut world, ann, none);
    assert_eq!(emoji(&world, ann), pairs(&expected[..1]));
    done(
        &mut world,
        ann,
        &set_emoji("parrot", "https://a.example", ADD),
    );
}

#[test]
fn a_workspace_has_so_many_emoji() {
    let Scene {
        mut world,
        ann,
        bob,
        ..
    } = scene();
    let eve = world.user_in(ABROAD, "eve", false);
    let others = (1..EMOJI_MAX).map(|n| Item::Emoji {
        name: format!("other-{n}"),
    });
    fill(&mut world, others, &there());
    let url = "https://a.example";
    world.change(ann, &set_emoji("last", url, ADD)).unwrap();
    assert_eq!(emoji(&world, ann).len(), EMOJI_MAX);

    let one_more = set_emoji("one-more", url, ADD);
    for user in [ann, bob] {
        let added = world.change(user, &one_more);
        assert_eq!(added, Err(ErrorCode::TooMany));
    }
    let other = set_emoji("last", "https://b.example", ADD);
    world.change(bob, &other).unwrap();
    world.change(eve, &one_more).unwrap();
    world.change(bob, &set_emoji("last", "", REMOVE)).unwrap();
    world.change(bob, &one_more).unwrap();
    assert_eq!(emoji(&world, ann).len(), EMOJI_MAX);
}

#[test]
fn a_profile_that_regions_have_overfilled_can_still_be_changed() {
    let Scene { mut world, ann, .. } = scene();
    let user = ann.number();
    let merged = (0..=PROFILE_FIELDS_MAX).map(|n| Item::ProfileField {
        user,
        field: format!("field-{n}"),
    });
    fill(&mut world, merged, &Intent::Set(Bytes::from_static(b"x")));
    done(&mut world, ann, &set_profile(&[("field-0", "")]));
    let another = set_profile(&[("another", "x")]);
    refused(&mut world, ann, vec![(another, ErrorCode::TooMany)]);
}
