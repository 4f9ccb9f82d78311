//! What users say of themselves.

use std::collections::BTreeMap;

use bytes::Bytes;
use causeway_protocol::ErrorCode;
use causeway_protocol::client::{self, request::Body, response::Result as Answer};
use serde_json::{Value, json};

use super::users::ada;
use super::{FAR_S, WROTE, World, done, me, refused, user};
use crate::web::methods::{self, Call, Step};
use crate::web::objects::people::{do_not_disturb, profile};

fn status(text: &str, expires_at_s: u64) -> client::Status {
    client::Status {
        text: text.into(),
        emoji: "tea".into(),
        expires_at_s,
    }
}

fn with_profile(profile: client::Profile) -> client::User {
    client::User {
        profile: Some(profile),
        ..ada()
    }
}

fn snoozing(do_not_disturb_until_s: u64) -> client::User {
    with_profile(client::Profile {
        do_not_disturb_until_s,
        ..client::Profile::default()
    })
}

fn title(text: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("title".into(), text.into())])
}

fn set_title(text: &str) -> Body {
    set_fields(&[("title", text)])
}

fn set_fields(fields: &[(&str, &str)]) -> Body {
    let fields = fields.iter();
    let fields = fields.map(|&(name, text)| (name.to_owned(), text.to_owned()));
    Body::SetProfile(client::SetProfile {
        fields: fields.collect(),
    })
}

fn set_status(text: &str, emoji: &str, expires_at_s: u64) -> Body {
    Body::SetStatus(client::SetStatus {
        text: text.into(),
        emoji: emoji.into(),
        expires_at_s,
    })
}

fn get(user: client::User) -> Body {
    Body::GetUser(client::GetUser { user: user.id })
}

#[tokio::test]
async fn a_profile_has_names_fields_and_a_status() {
    let user = with_profile(client::Profile {
        fields: title("Countess"),
        status: Some(status("brewing", 0)),
        ..client::Profile::default()
    });
    let world = World::answering([Answer::User(user)]);
    let reply = world.get("users.profile.get").await.json();
    let profile = json!({
        "real_name": "Ada Lovelace", "real_name_normalized": "Ada Lovelace",
        "display_name": "ada", "display_name_normalized": "ada", "team": "T00000001",
        "title": "Countess", "status_text": "brewing", "status_emoji": ":tea:",
        "status_expiration": 0,
    });
    assert_eq!(reply, json!({ "ok": true, "profile": profile }));
    assert_eq!(world.asked(), [get(ada())]);
}

#[tokio::test]
async fn a_user_is_called_what_they_call_themselves() {
    let fields = BTreeMap::from([
        ("real_name".into(), "Augusta Ada King".into()),
        ("display_name".into(), "countess".into()),
        ("team".into(), "T00000009".into()),
    ]);
    let user = with_profile(client::Profile {
        fields,
        ..client::Profile::default()
    });
    let world = World::answering([Answer::User(user)]);
    let reply = world.get("users.info?user=U04000007").await.json();
    let user = &reply["user"];
    assert_eq!(user["name"], "ada");
    assert_eq!(user["real_name"], "Augusta Ada King");
    let profile = &user["profile"];
    assert_eq!(profile["real_name_normalized"], "Augusta Ada King");
    assert_eq!(profile["display_name_normalized"], "countess");
    assert_eq!(profile["team"], "T00000001");
}

#[test]
fn statuses_that_were_set_at_the_same_time_are_shown_until_they_are_over() {
    let user = with_profile(client::Profile {
        status: Some(status("brewing", 100)),
        other_statuses: vec![status("drinking", 200), status("sleeping", 0)],
        ..client::Profile::default()
    });
    let shown = |now_s| {
        let profile = profile(&user, now_s);
        let others = profile["other_statuses"].clone();
        (profile["status_text"].clone(), others)
    };
    let other = |text: &str, expires_at_s: u64| {
        json!({
            "status_text": text, "status_emoji": ":tea:", "status_expiration": expires_at_s,
        })
    };
    let (drinking, sleeping) = (other("drinking", 200), other("sleeping", 0));
    let all = (json!("brewing"), json!([drinking, sleeping]));
    assert_eq!(shown(99), all);
    assert_eq!(shown(100), (json!("drinking"), json!([sleeping])));
    assert_eq!(shown(200), (json!("sleeping"), Value::Null));
}

#[test]
fn a_field_of_ones_own_breaks_no_type_of_slacks() {
    let fields = ["fields", "status_text", "is_custom_image", "huddle"];
    let fields = fields.map(|name| (name.to_owned(), "x".to_owned()));
    let user = with_profile(client::Profile {
        fields: fields.into(),
        ..client::Profile::default()
    });
    let profile = profile(&user, 0);
    assert_eq!(profile["status_text"], "");
    assert!(profile["is_custom_image"].is_null());
    let shown = profile["fields"].as_object().unwrap();
    assert_eq!(shown.len(), 4);
    assert_eq!(shown["huddle"], json!({ "value": "x", "alt": "" }));
}

#[tokio::test]
async fn fields_and_status_are_set_and_then_the_profile_is_shown() {
    let world = World::answering([done(), done(), Answer::User(ada())]);
    let args = json!({ "profile": {
        "title": "Countess", "status_text": "brewing", "status_emoji": ":tea:",
        "status_expiration": 1_700_000_000,
    } });
    let reply = world.call("users.profile.set", args).await;
    assert_eq!(reply["ok"], true);
    assert_eq!(reply["username"], "ada");
    assert_eq!(reply["profile"]["display_name"], "ada");
    let wanted = [
        set_title("Countess"),
        set_status("brewing", "tea", 1_700_000_000),
        get(ada()),
    ];
    assert_eq!(world.asked(), wanted);
    // A replica that does not know the changes yet would show what was before.
    assert_eq!(*world.cells.wrote.lock(), [Bytes::new(), WROTE, WROTE]);
}

#[tokio::test]
async fn only_what_is_given_is_set() {
    for (form, asked) in [
        (
            r#"profile={"title":"Countess"}"#,
            vec![set_title("Countess")],
        ),
        (r#"profile={"title":""}"#, vec![set_title("")]),
        ("name=title&value=Countess", vec![set_title("Countess")]),
        ("name=title&value=", vec![set_title("")]),
        (
            r#"profile={"status_text":"brewing","title":null}&user=U04000007"#,
            vec![set_status("brewing", "speech_balloon", 0)],
        ),
        (
            r#"profile={"status_text":"","status_emoji":"","status_expiration":""}"#,
            vec![set_status("", "", 0)],
        ),
        (
            "name=status_emoji&value=:tea:",
            vec![set_status("", "tea", 0)],
        ),
        ("profile={}", vec![]),
        (r#"profile={"fields":{},"title":null}"#, vec![]),
        (r#"profile={"fields":{"Xf1":null}}"#, vec![]),
    ] {
        let dones = asked.iter().map(|_| done());
        let world = World::answering(dones.chain([Answer::User(ada())]));
        let reply = world.form("users.profile.set", form).await.json();
        assert_eq!(reply["ok"], true, "{form}");
        let wanted: Vec<_> = asked.into_iter().chain([get(ada())]).collect();
        assert_eq!(world.asked(), wanted, "{form}");
    }
}

#[tokio::test]
async fn custom_fields_are_set_as_they_are_shown() {
    let wanted = set_fields(&[("Xf1", "Barista"), ("Xf2", ""), ("title", "Countess")]);
    let fields = json!({
        "Xf1": { "value": "Barista", "alt": "coffee" }, "Xf2": { "value": "" },
    });
    let profile = json!({ "title": "Countess", "fields": fields });
    for profile in [Value::from(profile.to_string()), profile] {
        let user = with_profile(client::Profile {
            fields: BTreeMap::from([("Xf1".into(), "Barista".into())]),
            ..client::Profile::default()
        });
        let world = World::answering([done(), Answer::User(user)]);
        let args = json!({ "profile": profile });
        let reply = world.call("users.profile.set", args).await;
        let shown = json!({ "Xf1": { "value": "Barista", "alt": "" } });
        assert_eq!(reply["profile"]["fields"], shown);
        assert_eq!(world.asked(), [wanted.clone(), get(ada())]);
    }
}

#[tokio::test]
async fn fifty_custom_fields_are_set_at_once() {
    let field = |n: usize| (format!("Xf{n}"), json!({ "value": "x", "alt": "" }));
    let fields: Value = (0..50).map(field).collect();
    let world = World::answering([done(), Answer::User(ada())]);
    let args = json!({ "profile": { "fields": fields } });
    let reply = world.call("users.profile.set", args).await;
    assert_eq!(reply["ok"], true);
    let asked = world.asked();
    let Body::SetProfile(set) = &asked[0] else {
        panic!("{asked:?}");
    };
    assert_eq!(set.fields.len(), 50);
}

#[tokio::test]
async fn a_custom_field_that_is_named_like_a_status_is_none() {
    let world = World::answering([done(), Answer::User(ada())]);
    let args = json!({ "profile": { "fields": { "status_text": { "value": "x" } } } });
    let reply = world.call("users.profile.set", args).await;
    assert_eq!(reply["ok"], true);
    let wanted = [set_fields(&[("status_text", "x")]), get(ada())];
    assert_eq!(world.asked(), wanted);
}

#[tokio::test]
async fn what_cannot_be_a_profile_is_refused_at_once() {
    let world = World::answering([]);
    let many: Value = (0..257).map(|n| (n.to_string(), json!("x"))).collect();
    let custom = |fields: Value| json!({ "profile": { "fields": fields } });
    for args in [
        json!({}),
        json!({ "name": "title" }),
        json!({ "profile": "{" }),
        json!({ "profile": "title" }),
        json!({ "profile": ["title"] }),
        json!({ "profile": many }),
        json!({ "profile": { "title": ["x"] } }),
        json!({ "profile": { "title": { "value": "x" } } }),
        json!({ "profile": { "title": "x", "status_expiration": 1 } }),
        json!({ "profile": { "status_text": "x", "status_expiration": -1 } }),
        custom(json!(["Xf1"])),
        custom(json!({ "Xf1": "Barista" })),
        custom(json!({ "Xf1": { "alt": "coffee" } })),
        custom(json!({ "Xf1": { "value": ["Barista"] } })),
        custom(many.clone()),
    ] {
        let reply = world.call("users.profile.set", args.clone()).await;
        assert_eq!(reply["error"], "invalid_profile", "{args}");
    }
    let args = json!({ "profile": { "title": "x" }, "user": "U04000008" });
    let reply = world.call("users.profile.set", args).await;
    assert_eq!(reply["error"], "permission_denied");
    assert_eq!(world.asked(), []);
}

#[tokio::test]
async fn a_profile_that_the_cells_find_malformed_is_refused() {
    let world = World::answering([refused(ErrorCode::InvalidArguments)]);
    let args = json!({ "profile": { "title": "Countess" } });
    let reply = world.call("users.profile.set", args).await;
    assert_eq!(reply["error"], "invalid_profile");
}

#[tokio::test]
async fn a_field_that_is_refused_leaves_the_status_as_it_is() {
    let world = World::answering([refused(ErrorCode::TooMany)]);
    let args = json!({ "profile": { "title": "Countess", "status_text": "brewing" } });
    let reply = world.call("users.profile.set", args).await;
    assert_eq!(reply["error"], "too_many");
    assert_eq!(world.asked(), [set_title("Countess")]);
}

#[tokio::test]
async fn presence_is_what_a_user_has_said() {
    for (presence, away) in [("auto", false), ("away", true)] {
        let world = World::answering([done()]);
        let args = json!({ "presence": presence });
        let reply = world.call("users.setPresence", args).await;
        assert_eq!(reply, json!({ "ok": true }));
        assert_eq!(world.asked(), [Body::SetAway(client::SetAway { away })]);
    }
    let world = World::answering([]);
    for args in [json!({}), json!({ "presence": "here" })] {
        let reply = world.call("users.setPresence", args).await;
        assert_eq!(reply["error"], "invalid_presence");
    }
}

#[tokio::test]
async fn the_caller_hears_more_of_their_presence_than_others_do() {
    let away = with_profile(client::Profile {
        away: true,
        ..client::Profile::default()
    });
    let other = client::User {
        id: user(8).0,
        ..away.clone()
    };
    let reply = |presence, manual_away| json!({ "ok": true, "presence": presence, "manual_away": manual_away });
    let with_online = |mut reply: Value, online: bool| {
        reply["online"] = online.into();
        reply
    };
    let (away, own) = (&away, "users.getPresence");
    for (online, path, user, reply) in [
        (None, own, away, reply("away", true)),
        (
            None,
            "users.getPresence?user=U04000007",
            &ada(),
            reply("active", false),
        ),
        (
            Some(true),
            own,
            away,
            with_online(reply("away", true), true),
        ),
        (
            Some(true),
            own,
            &ada(),
            with_online(reply("active", false), true),
        ),
        (
            Some(false),
            own,
            &ada(),
            with_online(reply("away", false), false),
        ),
        (
            Some(true),
            "users.getPresence?user=U04000008",
            &other,
            json!({ "ok": true, "presence": "away" }),
        ),
    ] {
        let user = user.clone();
        let world = World::where_all_are(online, Answer::User(user.clone()));
        assert_eq!(world.get(path).await.json(), reply);
        assert_eq!(world.asked(), [get(user)]);
    }
}

#[test]
fn a_snooze_lasts_for_so_many_minutes_from_now() {
    let method = methods::find("dnd.setSnooze").unwrap();
    let call = Call {
        user: me(),
        args: serde_json::from_value(json!({ "num_minutes": 2 })).unwrap(),
        spare_id: 0,
        now_s: 1_000,
        refused: Vec::new(),
    };
    let until_s = 1_120;
    let asked = Body::SetDoNotDisturb(client::SetDoNotDisturb { until_s });
    assert_eq!((method.begin)(&call), Ok(asked.clone()));
    let reply = json!({
        "ok": true, "dnd_enabled": false, "next_dnd_start_ts": 1, "next_dnd_end_ts": 1,
        "snooze_enabled": true, "snooze_endtime": 1_120, "snooze_remaining": 120,
        "snooze_is_indefinite": false,
    });
    assert_eq!((method.next)(&call, &asked, done()), Ok(Step::Reply(reply)));
}

#[tokio::test]
async fn a_snooze_ends_when_it_is_told_to() {
    let world = World::answering([Answer::User(snoozing(FAR_S)), done()]);
    let reply = world.call("dnd.endSnooze", json!({})).await;
    let wanted = json!({
        "ok": true, "dnd_enabled": false, "next_dnd_start_ts": 1, "next_dnd_end_ts": 1,
        "snooze_enabled": false, "snooze_is_indefinite": false,
    });
    assert_eq!(reply, wanted);
    let until_s = 0;
    let wanted = Body::SetDoNotDisturb(client::SetDoNotDisturb { until_s });
    assert_eq!(world.asked(), [get(ada()), wanted]);
}

#[tokio::test]
async fn a_snooze_that_is_not_on_cannot_be_ended() {
    for user in [ada(), snoozing(0), snoozing(1_000)] {
        let world = World::answering([Answer::User(user)]);
        let reply = world.call("dnd.endSnooze", json!({})).await;
        assert_eq!(reply["error"], "snooze_not_active");
        assert_eq!(world.asked(), [get(ada())]);
    }
}

#[tokio::test]
async fn a_snooze_has_a_length() {
    let world = World::answering([]);
    for (minutes, code) in [
        (json!(null), "missing_duration"),
        (json!(""), "missing_duration"),
        (json!(0), "invalid_arguments"),
        (json!(-1), "invalid_arguments"),
        (json!("an hour"), "invalid_arguments"),
        (json!(1.5), "invalid_arguments"),
    ] {
        let args = json!({ "num_minutes": minutes });
        let reply = world.call("dnd.setSnooze", args.clone()).await;
        assert_eq!(reply["error"], code, "{args}");
    }
    assert_eq!(world.asked(), []);
}

#[tokio::test]
async fn everybody_is_told_who_snoozes() {
    let other = |until_s| client::User {
        id: user(8).0,
        ..snoozing(until_s)
    };
    for (until_s, snoozes) in [(0, false), (1_000, false), (FAR_S, true)] {
        let world = World::answering([Answer::User(other(until_s))]);
        let reply = world.get("dnd.info?user=U04000008").await.json();
        assert_eq!(reply["snooze_enabled"], snoozes);
        assert_eq!(world.asked(), [get(other(until_s))]);
    }
}

#[test]
fn a_snooze_is_over_when_its_time_has_come() {
    assert_eq!(do_not_disturb(100, 99)["snooze_remaining"], 1);
    assert_eq!(do_not_disturb(100, 100)["snooze_enabled"], false);
    assert_eq!(do_not_disturb(100, 100).get("snooze_endtime"), None);
}
